package imapserver

import (
	"bytes"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"waxwing/format/message"
)

// readText looks for all needles of the search in one pass over a message's
// text: the text parts decoded to UTF-8, and the headers of parts and of
// messages in it.
func (s *searcher) readText(m *candidate, body Body) error {
	m.inBody = make([]bool, len(s.needles))
	m.inText = make([]bool, len(s.needles))
	for i, n := range s.needles {
		m.inText[i] = inHeader(m.header, n)
		m.inBody[i] = len(n) == 0
	}
	return s.readPart(body, &m.message.Root, m, true)
}

// readPart looks through a part; root has no header of its own to look at.
func (s *searcher) readPart(body Body, p *message.Part, m *candidate, root bool) error {
	if all(m.inBody) {
		return nil
	}
	if !root {
		header := make([]byte, min(p.Body-p.Header, MaxHeader))
		if _, err := body.ReadAt(header, p.Header); err != nil && err != io.EOF {
			return err
		}
		fields := message.ParseHeader(header)
		for i, n := range s.needles {
			m.inBody[i] = m.inBody[i] || inHeader(fields, n)
		}
	}
	for i := range p.Parts {
		if err := s.readPart(body, &p.Parts[i], m, false); err != nil {
			return err
		}
	}
	if p.Type != "text" || len(p.Parts) > 0 {
		return nil
	}
	raw := io.NewSectionReader(body, p.Body, max(p.End-p.Body, 0))
	return scan(message.DecodeText(message.DecodeBody(raw, p.Encoding), p.Charset()), s.needles, m.inBody)
}

func all(list []bool) bool {
	for _, b := range list {
		if !b {
			return false
		}
	}
	return true
}

// scanSize is how much text is looked at in one piece.
const scanSize = 32 << 10

var scanBuffers = sync.Pool{New: func() any { b := make([]byte, scanSize); return &b }}

// scan sets found for the needles that are in the text of r.
func scan(r io.Reader, needles [][]byte, found []bool) error {
	longest := 0
	for _, n := range needles {
		longest = max(longest, len(n))
	}
	buf := scanBuffers.Get().(*[]byte)
	defer scanBuffers.Put(buf)
	window := make([]byte, 0, scanSize+2*longest)
	held := 0 // octets at the start of buf that have not been folded yet
	for !all(found) {
		n, err := io.ReadFull(r, (*buf)[held:])
		last := err != nil
		if last && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		chunk := (*buf)[:held+n]
		end := len(chunk)
		if !last {
			end = foldBoundary(chunk)
		}
		// The end of the piece before stays, for what lies across.
		if keep := min(len(window), max(longest-1, 0)); keep < len(window) {
			window = append(window[:0], window[len(window)-keep:]...)
		}
		window = fold(window, chunk[:end])
		for i, needle := range needles {
			found[i] = found[i] || bytes.Contains(window, needle)
		}
		if last {
			return nil
		}
		held = copy(*buf, chunk[end:])
	}
	return nil
}

// foldBoundary gives where a piece of text can be cut, so that its parts fold
// as the whole does: before an ASCII letter, or at worst between runes.
func foldBoundary(b []byte) int {
	for i := len(b) - 1; i > len(b)/2; i-- {
		if b[i] < utf8.RuneSelf {
			return i
		}
	}
	for i := len(b) - 1; i > len(b)-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return len(b)
}

// fold appends text in the form in which it is compared: without case, and
// compatible characters as one. It comes to what i;unicode-casemap compares.
// RFC 5051 §2
func fold(dst, text []byte) []byte {
	from := len(dst)
	ascii := true
	for _, c := range text {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		dst = append(dst, text...)
		for i := from; i < len(dst); i++ {
			if c := dst[i]; 'A' <= c && c <= 'Z' {
				dst[i] = c + 'a' - 'A'
			}
		}
		return dst
	}
	for _, r := range string(norm.NFKD.Bytes(text)) {
		dst = utf8.AppendRune(dst, foldRune(r))
	}
	return dst
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// contains tells whether a folded needle is in text.
func contains(text string, needle []byte) bool {
	return len(needle) == 0 || bytes.Contains(fold(nil, []byte(text)), needle)
}
