package message

import (
	"strings"
	"unicode/utf8"

	"waxwing/format/charset"
)

// DecodeHeader gives the raw value of an unstructured field, or a display
// name, as a person would read it, in UTF-8: unfolded, encoded words decoded
// (RFC 2047), other 8-bit text taken as UTF-8 or else windows-1252. What looks
// like an encoded word and is none stays as it is.
//
// Characters split over adjacent encoded words come out whole, though RFC 2047
// §5 forbids writing them, and words may hold spaces.
func DecodeHeader(raw string) string {
	s := raw
	if strings.ContainsAny(s, "\r\n\x00") {
		s = unfold([]byte(s))
	}
	if !strings.Contains(s, "=?") {
		return plain(s)
	}
	d := wordDecoder{}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, rest, ok := cutWord(s[i:], &d.unclosed)
		if !ok {
			d.text(s[:i+2])
			s = s[i+2:]
			continue
		}
		d.word(s[:i], w)
		s = rest
	}
	d.text(s)
	d.flush()
	return clean(d.out.String())
}

// An encodedWord is =?charset?encoding?text?=. RFC 2047 §2
type encodedWord struct {
	charset  string
	encoding byte
	text     string
}

// wordDecoder joins the octets of adjacent words of one charset before it
// converts them.
type wordDecoder struct {
	out      strings.Builder
	literal  []byte // text outside of words, not yet written
	pending  []byte // octets of words, not yet converted
	charset  string // theirs
	inWords  bool
	unclosed bool // no "?=" comes any more
}

func (d *wordDecoder) text(s string) {
	if s == "" {
		return
	}
	d.flushWords()
	d.literal = append(d.literal, s...)
}

// word takes an encoded word and what stood before it. White space between
// two encoded words is ignored. RFC 2047 §6.2
func (d *wordDecoder) word(before string, w encodedWord) {
	if !d.inWords || strings.Trim(before, " \t") != "" {
		d.text(before)
	}
	if d.inWords && !strings.EqualFold(w.charset, d.charset) {
		d.flushWords()
	}
	d.flushLiteral()
	d.inWords, d.charset = true, w.charset
	if w.encoding == 'b' {
		var b base64Decoder
		d.pending = b.decode(d.pending, []byte(w.text))
		d.pending = b.end(d.pending)
	} else {
		d.pending = appendQ(d.pending, w.text)
	}
}

func (d *wordDecoder) flush() {
	d.flushWords()
	d.flushLiteral()
}

func (d *wordDecoder) flushWords() {
	if d.inWords {
		d.out.WriteString(charset.Decode(d.pending, d.charset))
		d.pending, d.inWords = d.pending[:0], false
	}
}

func (d *wordDecoder) flushLiteral() {
	if len(d.literal) > 0 {
		d.out.WriteString(charset.Guess(d.literal))
		d.literal = d.literal[:0]
	}
}

// cutWord cuts the encoded word that s starts with. It notes when there can be
// no more of them.
func cutWord(s string, unclosed *bool) (w encodedWord, rest string, ok bool) {
	if *unclosed {
		return w, s, false
	}
	mark := strings.IndexByte(s[2:], '?')
	if mark <= 0 || mark > 64 || len(s) < mark+5 || s[mark+4] != '?' {
		return w, s, false
	}
	w.charset = s[2 : 2+mark]
	w.encoding = lower(s[mark+3])
	if w.encoding != 'b' && w.encoding != 'q' || strings.ContainsAny(w.charset, " \t=") {
		return w, s, false
	}
	s = s[mark+5:]
	end := strings.Index(s, "?=")
	if end < 0 {
		*unclosed = true
		return w, s, false
	}
	w.text = s[:end]
	return w, s[end+2:], true
}

// appendQ decodes the Q encoding. RFC 2047 §4.2
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s):
			if v, ok := unhex(s[i+1], s[i+2]); ok {
				dst = append(dst, v)
				i += 2
			} else {
				dst = append(dst, c)
			}
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// An encoded word has at most 75 characters. RFC 2047 §2
const maxWord = 75

// encodeWords gives text as encoded words in UTF-8, each to stand on its own,
// in the shorter of the encodings. first is how many characters the first
// should have at most.
func encodeWords(text string, first int) []string {
	const frame = len("=?utf-8?q?") + len("?=")
	quoted := 0
	for i := 0; i < len(text); i++ {
		if !plainQ(text[i]) {
			quoted++
		}
	}
	useB := len(text)+2*quoted > (len(text)+2)/3*4
	var words []string
	room := max(min(first, maxWord)-frame, 3*utf8.UTFMax)
	for text != "" {
		n, used := 0, 0
		for n < len(text) {
			_, size := utf8.DecodeRuneInString(text[n:])
			cost := costOf(text[n:n+size], n, used, useB)
			if used+cost > room && n > 0 {
				break
			}
			n += size
			used += cost
		}
		words = append(words, encodeWord(text[:n], useB))
		text = text[n:]
		room = maxWord - frame
	}
	return words
}

// costOf tells how many characters a word grows by when r joins the n octets
// in it, which take used characters.
func costOf(r string, n, used int, useB bool) int {
	if useB {
		return (n+len(r)+2)/3*4 - used
	}
	cost := 0
	for i := 0; i < len(r); i++ {
		cost++
		if !plainQ(r[i]) {
			cost += 2
		}
	}
	return cost
}

func encodeWord(text string, useB bool) string {
	var b strings.Builder
	if useB {
		b.WriteString("=?utf-8?b?")
		b.WriteString(base64Text(text))
	} else {
		b.WriteString("=?utf-8?q?")
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == ' ':
				b.WriteByte('_')
			case plainQ(c):
				b.WriteByte(c)
			default:
				b.WriteByte('=')
				b.WriteByte(hexUpper[c>>4])
				b.WriteByte(hexUpper[c&15])
			}
		}
	}
	b.WriteString("?=")
	return b.String()
}

const hexUpper = "0123456789ABCDEF"

// plainQ tells what may stand for itself in an encoded word within a phrase;
// a space takes one character too. RFC 2047 §5 (3)
func plainQ(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == ' ' || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}
