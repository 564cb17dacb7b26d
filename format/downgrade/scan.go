package downgrade

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// facts are what a stretch of a message holds.
type facts struct {
	size, high, nul int64
	bare            bool // a CR or LF stands alone
	long            bool // a line is longer than 998 octets
	utf8            bool // it is valid UTF-8
}

// maxLine is the longest line without its CR LF. RFC 5322 §2.1.1
const maxLine = 998

// spoils tells whether the octets cannot go to the target.
func (f facts) spoils(t Target) bool { return f.nul > 0 || t == SevenBit && f.high > 0 }

// unlined tells whether this is no text in lines. RFC 2045 §2.8
func (f facts) unlined() bool { return f.bare || f.long || f.nul > 0 }

// scan reads a stretch.
func scan(src io.ReaderAt, from, to int64) (facts, error) {
	f := facts{utf8: true}
	r := io.NewSectionReader(src, from, to-from)
	buf := make([]byte, 32<<10)
	var last byte  // the octet before
	var line int64 // octets of the line so far
	var rest []byte
	for {
		n, err := r.Read(buf)
		b := buf[:n]
		f.size += int64(n)
		for _, c := range b {
			switch {
			case c == '\n':
				f.bare = f.bare || last != '\r'
				line = -1
			case last == '\r':
				f.bare = true
			case c >= 0x80:
				f.high++
			case c == 0:
				f.nul++
			}
			if line++; line > maxLine && c != '\r' {
				f.long = true
			}
			last = c
		}
		f.utf8, rest = validUTF8(f.utf8, rest, b)
		if err == io.EOF {
			f.bare = f.bare || last == '\r'
			f.utf8 = f.utf8 && len(rest) == 0
			return f, nil
		}
		if err != nil {
			return f, err
		}
	}
}

// validUTF8 goes on with a check; rest is the beginning of a sequence that was
// cut.
func validUTF8(valid bool, rest, b []byte) (bool, []byte) {
	if !valid {
		return false, nil
	}
	if len(rest) > 0 {
		b = append(bytes.Clone(rest), b...)
	}
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			b = b[1:]
			continue
		}
		if !utf8.FullRune(b) {
			return true, bytes.Clone(b)
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return false, nil
		}
		b = b[n:]
	}
	return true, nil
}
