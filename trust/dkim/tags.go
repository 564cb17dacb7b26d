package dkim

import (
	"bytes"
	"encoding/base64"
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

// appendSqueezed appends s without its white space. RFC 6376 §2.10: a
// base64string may be folded anywhere.
func appendSqueezed(b []byte, s string) []byte {
	for s = trim(s); s != ""; s = trim(s) {
		n := word(s)
		b, s = append(b, s[:n]...), s[n:]
	}
	return b
}

// squeeze takes all white space out.
func squeeze(s string) string {
	if word(s) == len(s) {
		return s
	}
	return string(appendSqueezed(make([]byte, 0, len(s)), s))
}

// decodeBase64 takes white space, and padding that is missing.
func decodeBase64(s string) ([]byte, error) {
	var room [512]byte
	text := bytes.TrimRight(appendSqueezed(room[:0], s), "=")
	return base64.RawStdEncoding.AppendDecode(make([]byte, 0, base64.RawStdEncoding.DecodedLen(len(text))), text)
}

// short cuts a stranger's text for a message.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
