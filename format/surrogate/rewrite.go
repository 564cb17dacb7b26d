package surrogate

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"waxwing/format/message"
)

// rewrite gives a header in ASCII. Fields that are ASCII stay as they are,
// octet by octet.
func rewrite(header []byte, p *message.Part) []byte {
	out := make([]byte, 0, len(header)+len(header)/2)
	end := 0
	for f := range message.Fields(header) {
		raw := header[f.Start:f.End]
		end = f.End
		if ascii(raw) {
			out = append(out, raw...)
			continue
		}
		if value := rewriteField(f, p); value != "" && ascii(f.Name) {
			out = append(out, f.Name...)
			out = append(append(append(out, ": "...), value...), "\r\n"...)
		}
	}
	return append(out, header[end:]...) // the empty line
}

// rewriteField gives the value of a field in ASCII, folded; nothing where the
// field has to be left out.
func rewriteField(f message.Field, p *message.Part) string {
	name := strings.ToLower(string(f.Name))
	switch name {
	case "from", "sender", "reply-to", "to", "cc", "bcc", // RFC 6858 §2.1
		"resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc", "resent-bcc":
		return addresses(message.ParseAddressList(f.Text()))
	case "content-type":
		return parameters(p.Type+"/"+p.Subtype, p.Params)
	case "content-disposition":
		return parameters(p.Disposition, p.DispositionParams)
	case "subject", "comments", "content-description", "organization", "thread-topic": // RFC 6858 §2.3
		return encode(message.DecodeHeader(f.Text()))
	}
	if strings.HasPrefix(name, "x-") {
		return encode(message.DecodeHeader(f.Text()))
	}
	return "" // RFC 6858 §2.4
}

// parameters gives a MIME field.
//
// Deviation: RFC 6858 §2.2 leaves out parameters that are not ASCII; we write
// them as RFC 2231 has it, which all clients of today read, because a file
// without its name is of little use.
func parameters(value string, params []message.Param) string {
	all := make(map[string]string, len(params))
	for _, p := range params {
		if utf8.ValidString(p.Value) {
			all[p.Name] = p.Value
		}
	}
	return strings.ReplaceAll(mime.FormatMediaType(value, all), "; ", ";\r\n\t")
}

// nobody replaces addresses that cannot be written in ASCII: it belongs to
// nobody and never will. RFC 6858 §2.1, RFC 2606 §2
const nobody = "<invalid@internationalized-address.invalid>"

// addresses gives an address list.
func addresses(list []message.Address) string {
	var out strings.Builder
	separator := ""
	for _, a := range list {
		switch {
		case a.Group && a.Name == "": // its end
			out.WriteString(";")
			separator = ",\r\n "
			continue
		case a.Group:
			out.WriteString(separator + phrase(message.DecodeHeader(a.Name)) + ":")
			separator = " "
			continue
		}
		out.WriteString(separator + address(a))
		separator = ",\r\n "
	}
	return out.String()
}

func address(a message.Address) string {
	name := message.DecodeHeader(a.Name)
	domain := a.Domain
	if !ascii([]byte(domain)) {
		// The A-label is another way to write the same domain. RFC 5890 §2.3.2.1
		if d, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = d
		}
	}
	switch {
	case !ascii([]byte(a.Local)) || !ascii([]byte(domain)):
		if name != "" {
			name += " "
		}
		return encode(name+"<"+a.Local+"@"+a.Domain+">") + "\r\n " + nobody
	case name == "":
		return "<" + local(a.Local) + "@" + domain + ">"
	}
	return phrase(name) + " <" + local(a.Local) + "@" + domain + ">"
}

// local gives the local part of an address. RFC 5322 §3.4.1
func local(s string) string {
	if s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..") && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return quote(clean(s))
}

// phrase gives a display name. RFC 5322 §3.2.5
func phrase(s string) string {
	s = clean(s)
	switch {
	case !ascii([]byte(s)) || strings.Contains(s, "=?"):
		return encode(s)
	case strings.IndexFunc(s, func(r rune) bool { return special(r) && r != ' ' || r == '.' }) < 0:
		return s
	}
	return quote(s)
}

// special tells whether r is no octet of a dot-atom. RFC 5322 §3.2.3
func special(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r)
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// encode gives text as encoded words, folded between them, that may stand in
// phrases too: those hold no specials (RFC 2047 §5), which base64 hides.
func encode(s string) string {
	s = clean(s)
	encoding := mime.QEncoding
	mostlyNotLatin := 2*utf8.RuneCountInString(s) < len(s)+len(s)/3
	if mostlyNotLatin || strings.ContainsAny(s, "()<>[]:;@\\,.\"") {
		encoding = mime.BEncoding
	}
	return strings.ReplaceAll(encoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

// clean takes away what no header may hold.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func ascii(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
