package dkim

import (
	"errors"
	"fmt"
	"strings"
)

// Tags are a list of tags in its order. RFC 6376 §3.2
type Tags []Tag

// A Tag is one name=value; the white space around the value is gone.
type Tag struct{ Name, Value string }

// maxTags bounds a list.
const maxTags = 64

// ParseTags reads a tag list, such as "v=1; a=rsa-sha256; d=example.org".
func ParseTags(s string) (Tags, error) {
	tags := make(Tags, 0, min(strings.Count(s, ";")+1, maxTags))
	rest, more := s, true
	for more {
		var spec string
		spec, rest, more = strings.Cut(rest, ";")
		equals := strings.IndexByte(spec, '=')
		if equals < 0 {
			if spec = trim(spec); spec != "" {
				return nil, fmt.Errorf("malformed tag %q", short(spec))
			}
			if more || len(tags) == 0 {
				return nil, errors.New("an empty tag")
			}
			break // RFC 6376 §3.2: one semicolon may stand at the end
		}
		name, value := trim(spec[:equals]), trim(spec[equals+1:])
		if !isTagName(name) {
			return nil, fmt.Errorf("malformed tag %q", short(trim(spec)))
		}
		for i := range len(value) {
			if c := value[i]; c <= ' ' && !isSpace(c) || c == 0x7f {
				return nil, fmt.Errorf("a control character in tag %s", name)
			}
		}
		if _, twice := tags.Get(name); twice {
			return nil, fmt.Errorf("tag %s stands there twice", name)
		}
		if tags = append(tags, Tag{name, value}); len(tags) > maxTags {
			return nil, errors.New("too many tags")
		}
	}
	return tags, nil
}

// Get gives the value of a tag. Names are case-sensitive.
func (t Tags) Get(name string) (value string, ok bool) {
	for _, tag := range t {
		if tag.Name == name {
			return tag.Value, true
		}
	}
	return "", false
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != ""
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trim[S string | []byte](s S) S {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// word gives the length of what stands before the first white space.
func word[S string | []byte](s S) int {
	n := 0
	for n < len(s) && (s[n] > ' ' || !isSpace(s[n])) {
		n++
	}
	return n
}

// lower gives s in lower case and without its white space.
func lower(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c > ' ' || !isSpace(c) {
			b = append(b, c)
		}
	}
	return string(b)
}

// base64Values maps octets to their six bits; 64 is none of the alphabet.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 64
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	return t
}()

var errBase64 = errors.New("not base64")

// decodeBase64 takes white space, and padding that is missing. RFC 6376 §2.10: a
// base64string may be folded anywhere.
func decodeBase64(s string) ([]byte, error) {
	out := make([]byte, 0, len(s)/4*3+3)
	bits, n := uint32(0), 0 // of a quantum that is not whole
	for i := 0; i < len(s); i++ {
		for n == 0 && i+4 <= len(s) {
			a, b, c, d := base64Values[s[i]], base64Values[s[i+1]], base64Values[s[i+2]], base64Values[s[i+3]]
			if (a|b|c|d)&64 != 0 {
				break
			}
			out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
			i += 4
		}
		if i == len(s) {
			break
		}
		switch v := base64Values[s[i]]; {
		case v < 64:
			bits = bits<<6 | uint32(v)
			if n++; n == 4 {
				out = append(out, byte(bits>>16), byte(bits>>8), byte(bits))
				bits, n = 0, 0
			}
		case s[i] == '=' && isPadding(s[i:]):
			i = len(s)
		case !isSpace(s[i]):
			return nil, errBase64
		}
	}
	switch n {
	case 1:
		return nil, errBase64
	case 2:
		out = append(out, byte(bits>>4))
	case 3:
		out = append(out, byte(bits>>10), byte(bits>>2))
	}
	return out, nil
}

// isPadding reports whether there is nothing but padding.
func isPadding(s string) bool {
	for i := range len(s) {
		if s[i] != '=' && !isSpace(s[i]) {
			return false
		}
	}
	return true
}

// short cuts a stranger's text for a message.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
