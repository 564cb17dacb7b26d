package message

import (
	"crypto/rand"
	"strings"
)

// ParseMessageIDs gives the message ids in a value of Message-ID, In-Reply-To,
// References or the like, without angle brackets and white space. Ids without
// brackets are taken if there are no others. RFC 5322 §3.6.4
func ParseMessageIDs(raw string) []string {
	var ids []string
	for s := raw; ; {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		s = s[i+1:]
		end := strings.IndexAny(s, "<>")
		if end < 0 {
			break
		}
		if s[end] == '<' {
			s = s[end:]
			continue
		}
		ids = appendID(ids, s[:end], raw)
		s = s[end+1:]
	}
	if ids == nil {
		for _, word := range strings.FieldsFunc(raw, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;<>\"", r) }) {
			if strings.IndexByte(word, '@') > 0 {
				ids = appendID(ids, word, raw)
			}
		}
	}
	return ids
}

func appendID(ids []string, id, raw string) []string {
	if strings.ContainsAny(id, " \t\r\n\x00") {
		id = strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n\x00", r) {
				return -1
			}
			return r
		}, id)
	}
	// No line may be longer. RFC 5322 §2.1.1
	if id == "" || len(id) > 998 {
		return ids
	}
	if ids == nil {
		ids = make([]string, 0, 1+min(maxReferences, strings.Count(raw, "<")))
	}
	return append(ids, id)
}

// NewMessageID makes a message id that no one else will make, without angle
// brackets. RFC 5322 §3.6.4
func NewMessageID(host string) string {
	return strings.ToLower(rand.Text()) + "@" + host
}
