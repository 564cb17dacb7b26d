package smtp

import (
	"log/slog"
	"strconv"
	"strings"
)

// An Enhanced is an enhanced status code, such as 5.1.1. RFC 3463 §2
// The zero value means that there is none.
type Enhanced [3]uint16

// String gives the code with its dots; the zero value is the empty string.
func (e Enhanced) String() string {
	if e == (Enhanced{}) {
		return ""
	}
	return string(e.append(nil))
}

func (e Enhanced) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(e[0]), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(e[1]), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(e[2]), 10)
}

// A Reply is what a server says to one command. RFC 5321 §4.2
type Reply struct {
	Code     int      // RFC 5321 §4.2.1
	Enhanced Enhanced // RFC 2034; the zero value where none belongs
	Text     string   // lines separated by "\n"

	// UTF8 lets the text hold UTF-8 on the wire, which only those are to get
	// who have asked for it. RFC 6531 §3.7.4
	UTF8 bool
}

// maxReplyText keeps a line within 512 octets with code and CRLF.
// RFC 5321 §4.5.3.1.5
const maxReplyText = 480

// Append writes the reply as it goes over the wire. The enhanced code stands
// on every line (RFC 2034 §4). Control characters in the text become spaces,
// so that no text can end a line, and what is not ASCII a question mark, but
// where UTF8 lets it be; lines that are too long are folded into several.
func (r Reply) Append(dst []byte) []byte {
	rest, more := r.Text, true
	for more {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		if len(line) > maxReplyText {
			cut := splitPoint(line)
			if more {
				rest = line[cut:] + "\n" + rest
			} else {
				rest = line[cut:]
			}
			line, more = line[:cut], true
		}
		dst = r.appendLine(dst, line, more, r.UTF8)
	}
	return dst
}

func (r Reply) appendLine(dst []byte, text string, more, utf8 bool) []byte {
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	if more {
		dst = append(dst, '-')
	} else {
		dst = append(dst, ' ')
	}
	if r.Enhanced != (Enhanced{}) {
		dst = r.Enhanced.append(dst)
		dst = append(dst, ' ')
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c < ' ' || c == 0x7f:
			c = ' '
		case c < 0x80 || utf8:
		case c&0xC0 == 0x80:
			continue // one mark for a character
		default:
			c = '?'
		}
		dst = append(dst, c)
	}
	return append(dst, '\r', '\n')
}

// splitPoint finds where a long line is cut: never inside a UTF-8 sequence.
func splitPoint(line string) int {
	cut := maxReplyText
	if i := strings.LastIndexByte(line[:cut], ' '); i > 0 {
		return i + 1
	}
	for cut > maxReplyText-4 && line[cut]&0xC0 == 0x80 {
		cut--
	}
	return cut
}

// String gives the reply as one line for logs.
func (r Reply) String() string {
	b := r.appendLine(nil, strings.ReplaceAll(r.Text, "\n", " / "), false, true)
	return string(b[:len(b)-2])
}

// LogValue gives the reply to a log that wants it, and costs nothing else.
func (r Reply) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Positive tells whether the reply accepts what was asked (2xx) or asks for
// more (3xx). RFC 5321 §4.2.1
func (r Reply) Positive() bool { return r.Code/100 == 2 || r.Code/100 == 3 }

// A Refusal is a reply that declines a command. On the server's side it is
// made where the decision is made; on the client's side it is what the peer
// said.
type Refusal struct {
	Code     int      // RFC 5321 §4.2.1
	Enhanced Enhanced // RFC 3463
	Text     string   // for the peer: says nothing about our insides
	Err      error    // for our log
}

// Error gives the refusal as one line, with the cause that the peer does not
// see.
func (r *Refusal) Error() string {
	s := r.Reply().String()
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Temporary tells whether the same command may succeed later.
// RFC 5321 §4.2.1
func (r *Refusal) Temporary() bool { return r.Code/100 == 4 }

// Reply gives the reply that says this refusal.
func (r *Refusal) Reply() Reply {
	return Reply{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text}
}
