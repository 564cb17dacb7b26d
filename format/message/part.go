package message

import (
	"strings"

	"waxwing/mail"
)

// Param gives the value of a parameter of the Content-Type, name in lower
// case; empty if there is none.
func (p *Part) Param(name string) string { return param(p.Params, name) }

// Charset gives the charset of a text part: the parameter in lower case, or
// "us-ascii" if there is none. RFC 2046 §4.1.2
func (p *Part) Charset() string {
	if c := p.Param("charset"); c != "" {
		return strings.ToLower(c)
	}
	return "us-ascii"
}

// Filename gives the name that the part suggests for a file, decoded; it is
// text from a stranger, not a path to be used. RFC 2183 §2.3
//
// QUIRK: many writers put encoded words there, which RFC 2047 §5 forbids.
func (p *Part) Filename() string {
	name := param(p.DispositionParams, "filename")
	if name == "" {
		name = p.Param("name")
	}
	return DecodeHeader(name)
}

// IsMultipart tells whether the part is one of parts. It may still have none:
// without a usable boundary, or beyond the limits.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// IsMessage tells whether the part holds a message: message/rfc822 (RFC 2046
// §5.2.1) or message/global (RFC 6532 §3.7). Embedded is nil and Parts empty
// all the same if it has a transfer encoding or lies beyond the limits.
func (p *Part) IsMessage() bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

func param(params []Param, name string) string {
	for _, p := range params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Prepend accounts for a prefix put in front of the message: whole header
// fields, which become the beginning of the root's header. Their values change
// nothing else in m.
func (m *Message) Prepend(prefix []byte) {
	n := int64(len(prefix))
	m.Size += mail.ByteCount(n)
	m.Root.shift(n)
	m.Root.Header = 0
	for i := range m.Defects {
		m.Defects[i].Offset += n
	}
}

func (p *Part) shift(n int64) {
	p.Header += n
	p.Body += n
	p.End += n
	for i := range p.Parts {
		p.Parts[i].shift(n)
	}
}
