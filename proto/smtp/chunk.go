package smtp

import (
	"strconv"
	"strings"

	"waxwing/mail"
)

// ErrChunk marks the refusal of a BDAT line from which nobody can tell how
// many octets follow: what comes next must not be read as commands.
var ErrChunk = chunkError{}

type chunkError struct{}

func (chunkError) Error() string { return "the size of the chunk is not known" }

// parseBDAT reads chunk-size [SP "LAST"]. RFC 3030 §2
func parseBDAT(args string) (Command, error) {
	fields := strings.Fields(args)
	malformed := &Refusal{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "Syntax: BDAT size [LAST]", Err: ErrChunk}
	if len(fields) == 0 || len(fields) > 2 || len(fields[0]) > 18 || strings.Trim(fields[0], "0123456789") != "" {
		return nil, malformed
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || len(fields) == 2 && !strings.EqualFold(fields[1], "LAST") {
		return nil, malformed
	}
	return Bdat{Size: mail.ByteCount(n), Last: len(fields) == 2}, nil
}

// Append writes the command with CR LF.
func (b Bdat) Append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, "BDAT "...), int64(b.Size), 10)
	if b.Last {
		dst = append(dst, " LAST"...)
	}
	return append(dst, '\r', '\n')
}

// parseBURL reads absolute-URI [SP "LAST"]. RFC 4468 §3.5
func parseBURL(args string) (Command, error) {
	fields := strings.Fields(args)
	if len(fields) == 0 || len(fields) > 2 || len(fields) == 2 && !strings.EqualFold(fields[1], "LAST") || !isPrintable(fields[0]) {
		return nil, argumentError("Syntax: BURL url [LAST]")
	}
	scheme, rest, ok := strings.Cut(fields[0], ":")
	if !ok || scheme == "" || rest == "" {
		return nil, argumentError("That is not an absolute URL")
	}
	return Burl{URL: fields[0], Last: len(fields) == 2}, nil
}
