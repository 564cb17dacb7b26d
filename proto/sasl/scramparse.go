package sasl

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// Nonces of clients that we have seen are 24 to 48 octets; what they send
// comes back in our answer.
const maxNonce = 256

// clientFirst is client-first-message. RFC 5802 §7
type clientFirst struct {
	gs2     []byte // gs2-header, as it stands
	bare    []byte // client-first-message-bare, as it stands
	flag    byte   // 'n', 'y' or 'p'
	binding string // with 'p': cb-name
	authzid string // prepared; empty for none
	user    string // prepared
	nonce   string
}

// parseClientFirst reads gs2-header client-first-message-bare. RFC 5802 §7
func parseClientFirst(message []byte) (clientFirst, error) {
	malformed := func(what string) (clientFirst, error) {
		return clientFirst{}, fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	if len(message) > MaxMessage || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return malformed("too long, not UTF-8, or holds NUL")
	}
	message = bytes.Clone(message) // kept until the end of the exchange
	flag, rest, ok := bytes.Cut(message, []byte{','})
	authz, bare, ok2 := bytes.Cut(rest, []byte{','})
	if !ok || !ok2 {
		return malformed("no gs2-header")
	}
	first := clientFirst{gs2: message[:len(message)-len(bare)], bare: bare}
	switch {
	case len(flag) == 1 && (flag[0] == 'n' || flag[0] == 'y'):
		first.flag = flag[0]
	case len(flag) > 2 && len(flag) <= 64 && flag[0] == 'p' && flag[1] == '=':
		first.flag, first.binding = 'p', string(flag[2:])
	default:
		return malformed("bad gs2-cbind-flag")
	}
	var err error
	if len(authz) > 0 {
		name, ok := bytes.CutPrefix(authz, []byte("a="))
		if !ok {
			return malformed("bad authzid")
		}
		// QUIRK: GNU SASL sends "a=" for an authzid that was given as empty.
		if len(name) > 0 {
			if first.authzid, err = saslName(name); err != nil {
				return clientFirst{}, err
			}
		}
	}
	// "m=" is a mandatory extension, and we know of none. RFC 5802 §5.1
	user, rest, ok := cutAttribute(bare, 'n')
	if !ok {
		return malformed("no user name")
	}
	if first.user, err = saslName(user); err != nil {
		return clientFirst{}, err
	}
	nonce, _, ok := cutAttribute(rest, 'r')
	if !ok || len(nonce) == 0 || len(nonce) > maxNonce || !isPrintable(nonce) {
		return malformed("bad nonce")
	}
	first.nonce = string(nonce)
	return first, nil
}

// saslName decodes a saslname, in which a comma is "=2C" and an equals sign
// "=3D", and prepares it. RFC 5802 §5.1
func saslName(raw []byte) (string, error) {
	name := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '=' {
			switch {
			case bytes.HasPrefix(raw[i:], []byte("=2C")):
				c = ','
			case bytes.HasPrefix(raw[i:], []byte("=3D")):
				c = '='
			default:
				return "", fmt.Errorf("%w: bad escape in a name", ErrMalformed)
			}
			i += 2
		}
		name = append(name, c)
	}
	prepared, err := prepareName(name)
	if err == nil && prepared == "" {
		err = fmt.Errorf("%w: empty name", ErrMalformed)
	}
	return prepared, err
}

// clientFinal is client-final-message. RFC 5802 §7
type clientFinal struct {
	withoutProof []byte // client-final-message-without-proof, as it stands
	binding      []byte // c=, decoded
	nonce        []byte
	proof        []byte // decoded
}

// parseClientFinal reads c=, r=, extensions, p=. RFC 5802 §7
func parseClientFinal(message []byte) (clientFinal, error) {
	malformed := func(what string) (clientFinal, error) {
		return clientFinal{}, fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	if len(message) > MaxMessage {
		return malformed("too long")
	}
	// The proof stands last, and base64 holds no comma.
	end := bytes.LastIndex(message, []byte(",p="))
	if end < 0 {
		return malformed("no proof")
	}
	final := clientFinal{withoutProof: message[:end]}
	binding, rest, ok := cutAttribute(final.withoutProof, 'c')
	if !ok {
		return malformed("no channel binding")
	}
	if final.nonce, _, ok = cutAttribute(rest, 'r'); !ok {
		return malformed("no nonce")
	}
	var err error
	if final.binding, err = decodeStrict(binding); err != nil {
		return malformed("bad channel binding")
	}
	if final.proof, err = decodeStrict(message[end+3:]); err != nil {
		return malformed("bad proof")
	}
	return final, nil
}

func decodeStrict(b []byte) ([]byte, error) {
	if bytes.ContainsAny(b, "\r\n") { // the decoder would skip them
		return nil, ErrMalformed
	}
	return base64.StdEncoding.AppendDecode(nil, b)
}

// isPrintable holds for the characters of a nonce. RFC 5802 §7
func isPrintable(b []byte) bool {
	for _, c := range b {
		if c < 0x21 || c > 0x7e || c == ',' {
			return false
		}
	}
	return true
}
