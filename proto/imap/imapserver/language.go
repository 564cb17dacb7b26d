package imapserver

import (
	"context"
	"strings"

	"waxwing/proto/imap"
)

// The languages that texts for people are said in. RFC 5255 §3.1: i-default,
// which is English for everybody, is what a session begins with.
var languages = []string{"en", "de", "i-default"}

// language is LANGUAGE. RFC 5255 §3.2
func (c *conn) language(_ context.Context, cmd imap.Language) (reply, error) {
	if len(cmd.Ranges) == 0 {
		c.tellLanguages(languages...)
		return reply{}, nil
	}
	for _, r := range cmd.Ranges {
		if found := lookUp(r); found != "" {
			c.german = found == "de"
			c.tellLanguages(found)
			if c.state != notAuthenticated {
				c.tellNamespace() // its names have changed. RFC 5255 §3.2
			}
			return reply{}, nil
		}
	}
	return reply{}, &imap.Refusal{Text: "That language is not spoken here"}
}

// lookUp finds the language of a range: of "de-AT" and "de" it is "de".
// RFC 4647 §3.4
func lookUp(r string) string {
	r = strings.ToLower(r)
	if r == "default" || r == "*" {
		return "i-default"
	}
	for {
		for _, l := range languages {
			if l == r {
				return l
			}
		}
		i := strings.LastIndexByte(r, '-')
		if i < 0 {
			return ""
		}
		r = r[:i]
	}
}

func (c *conn) tellLanguages(tags ...string) { c.out.line("* LANGUAGE (%s)", strings.Join(tags, " ")) }

// remark writes an untagged status response, with its code unless that is
// empty, and its text in the session's language.
func (c *conn) remark(status, code, text string) {
	if code != "" {
		code = "[" + code + "] "
	}
	c.out.line("* %s %s%s", status, code, c.say(text))
}

// say gives a text for people in the session's language.
func (c *conn) say(text string) string {
	if !c.german {
		return text
	}
	if name, done := strings.CutSuffix(text, " completed"); done {
		return name + " ausgeführt"
	}
	if translated, ok := inGerman[text]; ok {
		return translated
	}
	return text
}

// namespace is NAMESPACE. RFC 9051 §6.3.10, RFC 2342 §5
func (c *conn) namespace(context.Context, imap.Bare) (reply, error) {
	c.tellNamespace()
	return reply{}, nil
}

// tellNamespace writes a NAMESPACE response, with the translated names where
// the session's language has them. RFC 5255 §3.4
func (c *conn) tellNamespace() {
	others := "NIL"
	if prefix := c.account.OthersPrefix(); prefix != "" {
		b := append([]byte(`((`), imap.AppendString(nil, prefix, true)...)
		b = append(b, ' ', '"', imap.Delimiter, '"')
		if c.german {
			b = append(b, ` "TRANSLATION" (`...)
			b = append(imap.AppendString(b, imap.EncodeUTF7("Andere Benutzer/"), true), ')')
		}
		others = string(append(b, "))"...))
	}
	c.out.line(`* NAMESPACE (("" "%c")) %s NIL`, imap.Delimiter, others)
}
