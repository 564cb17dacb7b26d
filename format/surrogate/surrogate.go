// Package surrogate makes internationalized messages (RFC 6532: headers in
// UTF-8) readable to clients that have not asked for UTF-8: it gives the same
// message with headers in ASCII, as RFC 6858 describes. Bodies stay as they
// are, and so does the stored message.
//
// Only headers that are UTF-8 are rewritten. Other octets beyond ASCII, which
// mail from before all standards holds, tell nothing of what they mean.
package surrogate

import (
	"io"
	"sort"
	"unicode/utf8"

	"waxwing/format/message"
	"waxwing/mail"
)

// Limits on what is rewritten; headers beyond them stay as they are.
const (
	maxHeader = 1 << 20 // octets of one header
	maxTotal  = 4 << 20 // octets of all rewritten headers of a message
)

// Needed tells whether a header is one that has to be rewritten.
func Needed(header []byte) bool {
	for _, c := range header {
		if c >= utf8.RuneSelf {
			return utf8.Valid(header)
		}
	}
	return false
}

// A Surrogate stands for a message. ReadAt is safe for concurrent use where
// that of the message is.
type Surrogate struct {
	original io.ReaderAt
	pieces   []piece
	size     int64
}

// A piece is a part of the surrogate: octets of our own or of the original.
type piece struct {
	start int64 // in the surrogate
	size  int64
	own   []byte // nil: the original from from on
	from  int64
}

// New makes the surrogate of the message that m describes and r holds. Errors
// are r's.
func New(m *message.Message, r io.ReaderAt) (*Surrogate, error) {
	s := &Surrogate{original: r}
	b := &builder{surrogate: s, source: r}
	if err := b.part(&m.Root); err != nil {
		return nil, err
	}
	s.keep(b.done, int64(m.Size)-b.done)
	return s, nil
}

// Size is the size of the surrogate.
func (s *Surrogate) Size() mail.ByteCount { return mail.ByteCount(s.size) }

// ReadAt reads the surrogate.
func (s *Surrogate) ReadAt(b []byte, offset int64) (n int, err error) {
	i := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].start+s.pieces[i].size > offset })
	for ; i < len(s.pieces) && n < len(b); i++ {
		p := s.pieces[i]
		skip := offset + int64(n) - p.start
		want := b[n:min(int64(len(b)), int64(n)+p.size-skip)]
		if p.own != nil {
			n += copy(want, p.own[skip:])
			continue
		}
		k, err := s.original.ReadAt(want, p.from+skip)
		n += k
		if k < len(want) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// keep appends octets of the original.
func (s *Surrogate) keep(from, size int64) {
	if size > 0 {
		s.pieces = append(s.pieces, piece{start: s.size, size: size, from: from})
		s.size += size
	}
}

// put appends octets of our own.
func (s *Surrogate) put(b []byte) {
	if len(b) > 0 {
		s.pieces = append(s.pieces, piece{start: s.size, size: int64(len(b)), own: b})
		s.size += int64(len(b))
	}
}

// A builder walks the parts of a message in their order.
type builder struct {
	surrogate *Surrogate
	source    io.ReaderAt
	done      int64 // octets of the original that the surrogate has
	total     int64 // octets rewritten
}

func (b *builder) part(p *message.Part) error {
	size := p.Body - p.Header
	if p.Header >= b.done && size > 0 && size <= maxHeader && b.total+size <= maxTotal {
		header := make([]byte, size)
		if n, err := b.source.ReadAt(header, p.Header); int64(n) < size {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if Needed(header) {
			b.surrogate.keep(b.done, p.Header-b.done)
			b.surrogate.put(rewrite(header, p))
			b.done = p.Body
			b.total += size
		}
	}
	for i := range p.Parts {
		if err := b.part(&p.Parts[i]); err != nil {
			return err
		}
	}
	return nil
}
