package message

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/charset"
)

// A Builder is a message to be written, or a part of one. The root gets
// Date, From, Message-ID and so on by the Add methods; what describes the
// content comes from its constructor.
//
//	m := message.NewMultipart("mixed",
//		message.NewText("plain", "See the picture."),
//		message.NewAttachment("bird.png", "image/png", file))
//	m.AddAddresses("From", from)
//	m.AddText("Subject", "Wåxwing")
//	n, err := m.WriteTo(w)
//
// Values may be anything: they are encoded as their field needs it, and line
// ends in them become spaces, so that none can add a field. A bad field name
// is reported by WriteTo.
type Builder struct {
	// UTF8, at the root, writes header fields in UTF-8 (RFC 6532) instead of
	// encoding them; such a message needs SMTPUTF8.
	UTF8 bool

	// Encoding is the Content-Transfer-Encoding. For text it is chosen when
	// it is empty: 7bit if that is possible, else quoted-printable, or base64
	// where most would have to be quoted.
	Encoding string

	mediaType   string
	params      []Param
	disposition string
	filename    string
	fields      []newField
	err         error

	text    *string
	content io.Reader
	encoded bool // content has its transfer encoding already
	parts   []*Builder
}

// A newField is a field to be written: words that are joined by a space, or by
// a line break and a space.
type newField struct {
	name  string
	words func(utf8 bool) []string
}

// NewText makes a text part of this subtype in UTF-8. Line ends may be LF or
// CRLF.
func NewText(subtype, text string) *Builder {
	text = canonicalLines(plainText(text))
	b := &Builder{mediaType: "text/" + subtype, text: &text}
	if isASCII(text) {
		return b.SetParam("charset", "us-ascii")
	}
	return b.SetParam("charset", "utf-8")
}

// NewMultipart makes a multipart of this subtype.
func NewMultipart(subtype string, parts ...*Builder) *Builder {
	b := &Builder{mediaType: "multipart/" + subtype, parts: parts}
	// "=_" occurs in no quoted-printable or base64 text. RFC 2045 §6.7
	return b.SetParam("boundary", "=_"+strings.ToLower(rand.Text()))
}

// NewAttachment makes an attachment in base64. The content is read by WriteTo,
// which therefore can be called only once.
func NewAttachment(filename, mediaType string, content io.Reader) *Builder {
	return NewBinary(mediaType, content).SetDisposition("attachment", filename)
}

// NewBinary makes a part in base64, or in what Encoding is set to. The content
// is read by WriteTo, which therefore can be called only once.
func NewBinary(mediaType string, content io.Reader) *Builder {
	return &Builder{mediaType: mediaType, Encoding: "base64", content: content}
}

// NewContent makes a part of content that is already in the given
// Content-Transfer-Encoding, such as a message/rfc822 in 8bit. The content is
// read by WriteTo, which therefore can be called only once.
func NewContent(mediaType, encoding string, content io.Reader) *Builder {
	return &Builder{mediaType: mediaType, Encoding: encoding, content: content, encoded: true}
}

// SetParam sets a parameter of the Content-Type.
func (b *Builder) SetParam(name, value string) *Builder {
	b.params = setParam(b.params, strings.ToLower(name), value)
	return b
}

// SetDisposition sets the Content-Disposition: "inline" or "attachment", and a
// file name or none. RFC 2183
func (b *Builder) SetDisposition(kind, filename string) *Builder {
	b.disposition, b.filename = kind, filename
	return b
}

// AddText adds an unstructured field, such as Subject.
func (b *Builder) AddText(name, value string) {
	value = strings.TrimSpace(oneLine(value))
	b.add(name, func(utf8 bool) []string { return textWords(value, len(name)+2, utf8) })
}

// AddRaw adds a field whose value has its final form; it is folded at spaces.
func (b *Builder) AddRaw(name, value string) {
	value = strings.TrimSpace(oneLine(value))
	b.add(name, func(bool) []string { return strings.Fields(value) })
}

// AddAddresses adds an address field. The names are text, without quotes or
// encoded words. Local parts and domains that are not ASCII are written as
// they are in any case.
func (b *Builder) AddAddresses(name string, list ...Address) {
	b.add(name, func(utf8 bool) []string { return addressWords(list, utf8) })
}

// AddDate adds a date field.
func (b *Builder) AddDate(name string, t time.Time) { b.AddRaw(name, FormatDate(t)) }

// AddMessageIDs adds a field of message ids, given without angle brackets.
// Without any it adds none.
func (b *Builder) AddMessageIDs(name string, ids ...string) {
	var words []string
	for _, id := range ids {
		if id = strip(id, "<>"); id != "" {
			words = append(words, "<"+id+">")
		}
	}
	if words != nil {
		b.add(name, func(bool) []string { return words })
	}
}

func (b *Builder) add(name string, words func(bool) []string) {
	if !validName(name) {
		b.err = errors.Join(b.err, fmt.Errorf("bad header field name %q", name))
		return
	}
	b.fields = append(b.fields, newField{name, words})
}

// validName tells whether a field may have this name. RFC 5322 §3.6.8
func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] > '~' || name[i] == ':' {
			return false
		}
	}
	return name != "" && len(name) < maxLine-2
}

// WriteTo writes the message with CRLF line ends.
func (b *Builder) WriteTo(w io.Writer) (int64, error) {
	c := &countWriter{w: w}
	b.write(c, true, b.UTF8)
	return c.n, c.err
}

// write writes header and body. It leaves its failures in w.
func (b *Builder) write(w *countWriter, root, utf8 bool) {
	if b.err != nil {
		w.fail(b.err)
		return
	}
	encoding := b.chosen()
	var h []byte
	for _, f := range b.fields {
		h = appendField(h, f.name, f.words(utf8))
	}
	if root {
		h = appendField(h, "MIME-Version", []string{"1.0"}) // RFC 2045 §4
	}
	h = appendField(h, "Content-Type", paramWords(strip(b.mediaType, "();,"), b.params, utf8))
	if encoding != "7bit" {
		h = appendField(h, "Content-Transfer-Encoding", []string{strip(encoding, "();,")})
	}
	if b.disposition != "" {
		var params []Param
		if b.filename != "" {
			params = []Param{{"filename", b.filename}}
		}
		h = appendField(h, "Content-Disposition", paramWords(strip(b.disposition, "();,"), params, utf8))
	}
	w.Write(append(h, "\r\n"...))

	switch {
	case b.text != nil:
		encodeTo(w, strings.NewReader(*b.text), encoding)
	case b.content != nil && b.encoded:
		_, err := io.Copy(w, b.content)
		w.fail(err)
	case b.content != nil:
		encodeTo(w, b.content, encoding)
	default:
		boundary := param(b.params, "boundary")
		delimiter := "--" + boundary
		for _, part := range b.parts {
			io.WriteString(w, delimiter+"\r\n")
			delimiter = "\r\n--" + boundary
			part.write(w, false, utf8)
		}
		io.WriteString(w, delimiter+"--\r\n")
	}
}

// chosen gives the transfer encoding: of a multipart the widest of its parts,
// RFC 2045 §6.4.
func (b *Builder) chosen() string {
	switch {
	case b.text != nil && b.Encoding == "":
		return textEncoding(*b.text)
	case b.text != nil || b.content != nil:
		return strings.ToLower(b.Encoding)
	}
	widest := "7bit"
	for _, part := range b.parts {
		switch e := part.chosen(); {
		case e == "binary", e == "8bit" && widest != "binary":
			widest = e
		}
	}
	return widest
}

// countWriter counts, and keeps the first failure.
type countWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *countWriter) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
	return n, err
}

func (c *countWriter) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// plainText makes valid UTF-8 of text.
func plainText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return charset.Guess([]byte(s))
}

// oneLine makes text that fits into a header field: valid, without CR, LF and
// NUL.
func oneLine(s string) string { return clean(plainText(s)) }

// strip takes out of a word what it must not hold: white space, control
// characters, and the given ones.
func strip(s, not string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(not, r) {
			return -1
		}
		return r
	}, plainText(s))
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// canonicalLines makes all line ends CRLF. RFC 2046 §4.1.1
func canonicalLines(s string) string {
	if strings.Count(s, "\r\n") == strings.Count(s, "\n") && strings.Count(s, "\r\n") == strings.Count(s, "\r") {
		return s
	}
	return lineEnds.Replace(s)
}

var lineEnds = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")
