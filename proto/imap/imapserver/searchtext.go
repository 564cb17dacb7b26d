package imapserver

import (
	"bytes"

	"waxwing/format/abstract"
	"waxwing/format/message"
)

// A needleSink looks for needles in a text that comes in pieces. It is an
// abstract.Sink.
type needleSink struct {
	needles [][]byte
	found   []bool
	missing int    // needles not found yet
	longest int    // of the needles
	tail    []byte // of the text before, as long as a needle may reach over
	joint   []byte
}

func newNeedleSink(needles [][]byte) *needleSink {
	s := &needleSink{needles: needles, found: make([]bool, len(needles))}
	for _, n := range needles {
		s.longest = max(s.longest, len(n))
	}
	s.reset()
	return s
}

// reset forgets what has been found. An empty needle is in any text.
func (s *needleSink) reset() {
	s.missing, s.tail = 0, s.tail[:0]
	for i, n := range s.needles {
		if s.found[i] = len(n) == 0; !s.found[i] {
			s.missing++
		}
	}
}

// Write looks through a piece, and what lies across it and the one before.
func (s *needleSink) Write(piece []byte) {
	keep := max(s.longest-1, 0)
	if len(s.tail) > 0 {
		s.joint = append(append(s.joint[:0], s.tail...), piece[:min(len(piece), keep)]...)
		s.look(s.joint)
	}
	s.look(piece)
	if len(piece) < keep {
		piece = append(s.tail, piece...)
	}
	s.tail = append(s.tail[:0], piece[max(len(piece)-keep, 0):]...)
}

func (s *needleSink) look(text []byte) {
	for i, n := range s.needles {
		if !s.found[i] && bytes.Contains(text, n) {
			s.found[i] = true
			s.missing--
		}
	}
}

// End ends a text.
func (s *needleSink) End() { s.tail = s.tail[:0] }

// Enough tells that all have been found.
func (s *needleSink) Enough() bool { return s.missing == 0 }

// A wholeBody that is small is searched without being copied.
var _ interface{ Bytes() []byte } = textInMemory(nil)

// textInMemory is a message in memory, for abstract.Body.
type textInMemory []byte

// Bytes gives the message, which must not be changed.
func (t textInMemory) Bytes() []byte { return t }

// ReadAt implements io.ReaderAt.
func (t textInMemory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(t).ReadAt(p, off)
}

// headerOf gives the header of a message in memory.
func headerOf(text []byte, m *message.Message) []byte {
	return text[:min(m.Root.Body, int64(len(text)), abstract.MaxHeader)]
}
