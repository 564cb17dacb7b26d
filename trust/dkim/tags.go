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
		if trim(spec) == "" {
			if more || len(tags) == 0 {
				return nil, errors.New("an empty tag")
			}
			break // RFC 6376 §3.2: one semicolon may stand at the end
		}
		name, value, ok := strings.Cut(spec, "=")
		name, value = trim(name), trim(value)
		if !ok || !isTagName(name) {
			return nil, fmt.Errorf("malformed tag %q", short(trim(spec)))
		}
		for i := range len(value) {
			if c := value[i]; (c < 0x21 || c == 0x7f) && !isSpace(c) {
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

func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// squeeze takes all white space out. RFC 6376 §2.10: a base64string may be folded
// anywhere.
func squeeze(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if !isSpace(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// decodeBase64 takes white space, and padding that is missing.
func decodeBase64(s string) ([]byte, error) {
	text := make([]byte, 0, 512)
	for i := range len(s) {
		if c := s[i]; !isSpace(c) {
			text = append(text, c)
		}
	}
	text = bytes.TrimRight(text, "=")
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
