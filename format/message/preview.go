package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"waxwing/format/charset"
)

const (
	maxPreview    = 256      // characters, RFC 8970 §3.1
	maxPlainBytes = 2560     // of a plain text that are looked at, as they stand
	maxHTMLBytes  = 32 << 10 // of HTML, which may begin with a long style sheet
	likelyBytes   = 768      // of a plain text that are likely to be enough
)

// preview collects the beginning of the first text part that says something.
type preview struct {
	raw, decoded      []byte // both reused
	limit             int    // of raw; 0 when no part is being collected
	encoding, charset string
	html              bool
	found             string
}

func (v preview) reset() preview { return preview{raw: v.raw[:0], decoded: v.decoded[:0]} }

// begin tells that the body of a part starts.
func (v *preview) begin(p *Part) {
	if v.found != "" || p.Type != "text" || p.Disposition == "attachment" {
		return
	}
	v.html = p.Subtype == "html"
	v.limit = maxPlainBytes
	switch {
	case v.html:
		v.limit = maxHTMLBytes
	case p.Subtype != "plain" && p.Subtype != "enriched":
		v.limit = 0
	}
	v.encoding, v.charset = p.Encoding, p.Charset()
}

// take is given body octets.
func (v *preview) take(b []byte) {
	if v.limit == 0 {
		return
	}
	if len(v.raw) == 0 && len(b) > likelyBytes && !v.html {
		// As decode does, without a copy.
		if text, full := v.decodeFrom(b[:likelyBytes], true); full {
			v.found, v.limit = text, 0
			return
		}
	}
	v.raw = append(v.raw, b[:min(len(b), v.limit-len(v.raw))]...)
	if len(v.raw) == v.limit {
		v.end()
	}
}

// end tells that the body has ended. If it said nothing, a later part may.
func (v *preview) end() {
	if v.limit == 0 {
		return
	}
	v.found = v.decode()
	v.raw, v.limit = v.raw[:0], 0
}

func (v *preview) text() string { return v.found }

// decode gives the text of what has been collected, decoding no more of it
// than is likely to be needed.
func (v *preview) decode() string {
	if !v.html && len(v.raw) > likelyBytes {
		if text, full := v.decodeFrom(v.raw[:likelyBytes], true); full {
			return text
		}
	}
	text, _ := v.decodeFrom(v.raw, len(v.raw) == v.limit)
	return text
}

// decodeFrom gives the text of raw and whether it is as long as a preview may
// be. If raw is cut, a character may be at its end.
func (v *preview) decodeFrom(raw []byte, cut bool) (text string, full bool) {
	b := raw
	if d := newBodyDecoder(v.encoding); d != nil {
		v.decoded = d.end(d.decode(v.decoded[:0], raw))
		b = v.decoded
	}
	if cut {
		b = b[:max(0, len(b)-utf8.UTFMax)]
	}
	decoded := charset.Decode(b, v.charset)
	var c collapser
	if v.html {
		c.html(decoded)
	} else {
		c.text(decoded)
	}
	return strings.TrimRight(c.b.String(), " "), c.full()
}

// collapser writes text with white space collapsed, up to maxPreview
// characters.
type collapser struct {
	b     strings.Builder
	count int
	space bool // white space is due before the next character
}

func (c *collapser) full() bool { return c.count >= maxPreview }

func (c *collapser) text(s string) {
	if c.b.Cap() == 0 {
		c.b.Grow(min(len(s), maxPreview+maxPreview/4))
	}
	for i := 0; i < len(s) && !c.full(); {
		if s[i] <= ' ' || s[i] == 0x7f {
			c.space = c.count > 0
			i++
			continue
		}
		if n := printable(s[i:min(len(s), i+maxPreview)]); n > 0 {
			if c.gap() {
				return
			}
			n = min(n, maxPreview-c.count)
			c.b.WriteString(s[i : i+n])
			c.count += n
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			c.space = c.count > 0
		case r == 0x34f || r == 0xfeff || r == 0xad || r == 0x200b:
			// Invisible; advertisements pad their previews with them.
		default:
			if c.gap() {
				return
			}
			c.b.WriteRune(r)
			c.count++
		}
	}
}

// gap writes the white space that is due, and tells whether nothing fits behind
// it.
func (c *collapser) gap() (full bool) {
	if !c.space {
		return false
	}
	c.b.WriteByte(' ')
	c.count++
	c.space = false
	return c.full()
}

// printable gives how many octets at the front of s are visible ASCII.
func printable(s string) int {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return i
		}
	}
	return len(s)
}

// html writes the text between tags, without scripts and styles.
func (c *collapser) html(s string) {
	z := html.NewTokenizer(strings.NewReader(s))
	skip := 0
	for !c.full() {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			if skip == 0 {
				c.text(string(z.Text()))
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			if unseen(name) {
				skip++
			}
			c.space = c.space || c.count > 0 && !inline(name)
		case html.EndTagToken:
			name, _ := z.TagName()
			if unseen(name) && skip > 0 {
				skip--
			}
			c.space = c.space || c.count > 0 && !inline(name)
		case html.SelfClosingTagToken:
			c.space = c.count > 0
		}
	}
}

func unseen(name []byte) bool {
	switch string(name) {
	case "script", "style", "title", "noscript", "template", "textarea":
		return true
	}
	return false
}

func inline(name []byte) bool {
	switch string(name) {
	case "a", "b", "i", "u", "em", "strong", "span", "font", "small", "big", "code", "abbr", "sub", "sup":
		return true
	}
	return false
}
