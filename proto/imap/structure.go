package imap

import (
	"strconv"

	"waxwing/format/message"
)

// AppendEnvelope writes an envelope. A missing Sender or Reply-To is From's.
// RFC 9051 §7.5.2
//
// Deviation: §7.5.2 has an empty string for a field that is there and empty; here
// it is NIL, like one that is not there. Clients are told to treat them alike.
func AppendEnvelope(dst []byte, e *message.Envelope, utf8Strings bool) []byte {
	sender, replyTo := e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = e.From
	}
	if len(replyTo) == 0 {
		replyTo = e.From
	}
	dst = append(dst, '(')
	dst = AppendNString(dst, e.Date, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.Subject, utf8Strings)
	dst = appendAddresses(dst, e.From, utf8Strings)
	dst = appendAddresses(dst, sender, utf8Strings)
	dst = appendAddresses(dst, replyTo, utf8Strings)
	dst = appendAddresses(dst, e.To, utf8Strings)
	dst = appendAddresses(dst, e.Cc, utf8Strings)
	dst = appendAddresses(dst, e.Bcc, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.InReplyTo, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.MessageID, utf8Strings)
	return append(dst, ')')
}

// appendAddresses writes a space and an address list, NIL when it is empty.
func appendAddresses(dst []byte, list []message.Address, utf8Strings bool) []byte {
	if len(list) == 0 {
		return append(dst, " NIL"...)
	}
	dst = append(dst, " ("...)
	for i := range list {
		a := &list[i]
		dst = append(dst, '(')
		switch {
		case a.Group && a.Name == "" && a.Local == "": // the end of a group
			dst = append(dst, "NIL NIL NIL NIL"...)
		case a.Group:
			dst = append(dst, "NIL NIL "...)
			dst = AppendString(dst, a.Name, utf8Strings)
			dst = append(dst, " NIL"...)
		default:
			dst = AppendNString(dst, a.Name, utf8Strings)
			dst = append(dst, " NIL "...)
			// Empty and not NIL: NIL would mark a group.
			dst = AppendString(dst, a.Local, utf8Strings)
			dst = append(dst, ' ')
			dst = AppendString(dst, a.Domain, utf8Strings)
		}
		dst = append(dst, ')')
	}
	return append(dst, ')')
}

// emptyPart stands for the part that a multipart without parts, or a message
// without a message in it, has to have. RFC 9051 §9 wants at least one.
var emptyPart = message.Part{Type: "text", Subtype: "plain", Encoding: "7bit"}

// AppendBodyStructure writes a body structure: BODYSTRUCTURE's when extended,
// else BODY's. RFC 9051 §7.5.2
func AppendBodyStructure(dst []byte, p *message.Part, extended, utf8Strings bool) []byte {
	dst = append(dst, '(')
	if p.Type == "multipart" {
		if len(p.Parts) == 0 {
			dst = AppendBodyStructure(dst, &emptyPart, extended, utf8Strings)
		}
		for i := range p.Parts {
			dst = AppendBodyStructure(dst, &p.Parts[i], extended, utf8Strings)
		}
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Subtype, utf8Strings)
		if extended {
			dst = append(dst, ' ')
			dst = appendParams(dst, p.Params, utf8Strings)
			dst = appendExtension(dst, p, utf8Strings)
		}
		return append(dst, ')')
	}
	dst = appendBodyFields(dst, p, utf8Strings)
	switch {
	case p.Type == "text":
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	case p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global"):
		envelope, body := p.Embedded, &emptyPart
		if envelope == nil {
			envelope = &message.Envelope{}
		}
		if len(p.Parts) > 0 {
			body = &p.Parts[0]
		}
		dst = append(dst, ' ')
		dst = AppendEnvelope(dst, envelope, utf8Strings)
		dst = append(dst, ' ')
		dst = AppendBodyStructure(dst, body, extended, utf8Strings)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Lines, 10)
	}
	if extended {
		dst = append(dst, ' ')
		dst = AppendNString(dst, p.MD5, utf8Strings)
		dst = appendExtension(dst, p, utf8Strings)
	}
	return append(dst, ')')
}

var defaultParams = []message.Param{{Name: "charset", Value: "us-ascii"}}

// appendBodyFields writes what every single part has.
func appendBodyFields(dst []byte, p *message.Part, utf8Strings bool) []byte {
	dst = AppendString(dst, p.Type, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype, utf8Strings)
	dst = append(dst, ' ')
	params := p.Params
	if p.Type == "text" && p.Param("charset") == "" {
		// What text has if it does not say. RFC 2046 §4.1.2
		if params = defaultParams; len(p.Params) > 0 {
			params = append(p.Params[:len(p.Params):len(p.Params)], defaultParams...)
		}
	}
	dst = appendParams(dst, params, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.ID, utf8Strings)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.Description, utf8Strings)
	dst = append(dst, ' ')
	if p.Encoding == "" {
		dst = append(dst, `"7bit"`...) // RFC 2045 §6.1
	} else {
		dst = AppendString(dst, p.Encoding, utf8Strings)
	}
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, p.End-p.Body, 10)
}

// appendExtension writes disposition, language and location.
func appendExtension(dst []byte, p *message.Part, utf8Strings bool) []byte {
	if p.Disposition == "" {
		dst = append(dst, " NIL "...)
	} else {
		dst = append(dst, " ("...)
		dst = AppendString(dst, p.Disposition, utf8Strings)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionParams, utf8Strings)
		dst = append(dst, ") "...)
	}
	switch len(p.Language) {
	case 0:
		dst = append(dst, "NIL"...)
	case 1:
		dst = AppendString(dst, p.Language[0], utf8Strings)
	default:
		dst = append(dst, '(')
		for i, l := range p.Language {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = AppendString(dst, l, utf8Strings)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location, utf8Strings)
}

// appendParams writes a parameter list. Values are decoded; one that is not
// ASCII goes out in the form of RFC 2231 §4, which clients of either revision
// read, under the name that this form has.
func appendParams(dst []byte, params []message.Param, utf8Strings bool) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if isASCII(p.Value) {
			dst = AppendString(dst, p.Name, utf8Strings)
			dst = append(dst, ' ')
			dst = AppendString(dst, p.Value, utf8Strings)
			continue
		}
		dst = AppendString(dst, p.Name+"*", utf8Strings)
		dst = append(dst, ` "utf-8''`...)
		dst = appendPercent(dst, p.Value)
		dst = append(dst, '"')
	}
	return append(dst, ')')
}

// appendPercent writes a value as RFC 2231 §7's ext-octets.
func appendPercent(dst []byte, value string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '.', c == '-', c == '_':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
