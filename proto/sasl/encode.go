package sasl

import (
	"encoding/base64"
	"strings"
)

// MaxMessage is the most octets of one decoded client message: what MaxLine
// holds. The largest are bearer tokens.
const MaxMessage = MaxLine / 4 * 3

// MaxLine is the most octets of one encoded client message, for the line
// limits of protocols. RFC 4954 §4 asks for at least 12288.
const MaxLine = 12288

// DecodeInitial decodes the initial response that came as an argument of the
// command: nil for the empty string, which means that there was none, and an
// empty message for "=". RFC 4954 §4, RFC 4959 §3
func DecodeInitial(arg string) ([]byte, error) {
	if arg == "" {
		return nil, nil
	}
	return DecodeResponse(arg)
}

// DecodeResponse decodes a line that answers a challenge, without its CRLF.
// It fails with ErrAborted for "*" and with ErrMalformed for what is not
// base64 or too long; the message is never nil otherwise. RFC 4954 §4,
// RFC 9051 §6.2.2, RFC 5034 §4
func DecodeResponse(line string) ([]byte, error) {
	switch {
	case line == "*":
		return nil, ErrAborted
	case line == "" || line == "=":
		return []byte{}, nil
	case len(line) > base64.StdEncoding.EncodedLen(MaxMessage):
		return nil, ErrMalformed
	case strings.ContainsAny(line, "\r\n"): // the decoder would skip them
		return nil, ErrMalformed
	}
	message, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, ErrMalformed
	}
	return message, nil
}

// EncodeChallenge encodes a challenge as all our protocols send it.
func EncodeChallenge(challenge []byte) string {
	return base64.StdEncoding.EncodeToString(challenge)
}
