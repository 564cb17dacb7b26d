package smtp

import (
	"bytes"
	"errors"
	"strings"
)

// The bounds of what a peer may reply. RFC 5321 §4.5.3.1.5 allows 512 octets
// a line; some send more.
const (
	MaxReply      = 16 << 10
	maxReplyLines = 200
)

// ErrReply says that the peer does not speak SMTP.
var ErrReply = errors.New("malformed SMTP reply")

// ParseReply reads one whole reply, of one or many lines, at the start of b
// and tells how many bytes it took; zero with no error when its end is not
// there yet. RFC 5321 §4.2. The enhanced code (RFC 2034 §4) is taken out of
// the text. The error is ErrReply.
func ParseReply(b []byte) (r Reply, n int, err error) {
	var lines []string
	for {
		// QUIRK: there are servers that end the lines of replies with a bare
		// LF. What a reply says cannot smuggle anything.
		lf := bytes.IndexByte(b[n:], '\n')
		if lf < 0 {
			if len(b) >= MaxReply {
				return Reply{}, 0, ErrReply
			}
			return Reply{}, 0, nil
		}
		line := bytes.TrimSuffix(b[n:n+lf], crlf[:1])
		n += lf + 1
		code, more, text, ok := parseReplyLine(line)
		if !ok || len(lines) == maxReplyLines || n > MaxReply {
			return Reply{}, 0, ErrReply
		}
		enhanced, text := cutEnhanced(code, text)
		if enhanced != (Enhanced{}) {
			r.Enhanced = enhanced
		}
		if !more {
			// Where the lines disagree the last one counts.
			// RFC 5321 §4.2.1 wants them to be the same.
			r.Code, r.Text = code, text
			break
		}
		lines = append(lines, text)
	}
	if int(r.Enhanced[0]) != r.Code/100 {
		r.Enhanced = Enhanced{}
	}
	if lines != nil {
		r.Text = strings.Join(append(lines, r.Text), "\n")
	}
	return r, n, nil
}

func parseReplyLine(line []byte) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", true // RFC 5321 §4.2: clients accept it
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', printable(line[4:]), true
}

// printable gives a peer's words without what nobody can read.
func printable(b []byte) string {
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return ' '
				}
				return r
			}, strings.ToValidUTF8(string(b), "?"))
		}
	}
	return string(b)
}

// cutEnhanced takes an enhanced code off the start of a reply's text. It must
// be of the same class as the code. RFC 2034 §4
func cutEnhanced(code int, text string) (Enhanced, string) {
	word, rest, _ := strings.Cut(text, " ")
	e, ok := ParseEnhanced(word)
	if !ok || int(e[0]) != code/100 {
		return Enhanced{}, text
	}
	return e, rest
}

// ParseEnhanced reads an enhanced status code. RFC 3463 §2
func ParseEnhanced(s string) (Enhanced, bool) {
	var e Enhanced
	part, digits := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && digits > 0 && part < 2:
			part, digits = part+1, 0
		case isDigit(c) && digits < 3:
			e[part] = e[part]*10 + uint16(c-'0')
			digits++
		default:
			return Enhanced{}, false
		}
	}
	if part != 2 || digits == 0 || e[0] != 2 && e[0] != 4 && e[0] != 5 {
		return Enhanced{}, false
	}
	return e, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
