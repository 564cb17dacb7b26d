package imapserver

import (
	"bytes"
	"context"
	"io"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// A source reads one message for FETCH, and opens no more of it than what is
// asked for.
type source struct {
	ctx     context.Context
	mailbox Mailbox
	id      mail.EmailID
	message *message.Message // nil where no item needs it
	thread  mail.ThreadID

	header []byte           // of the message, where an item needs it
	inner  map[int64][]byte // headers of messages in it, by offset
	small  smallBody        // the message, if it is small and an item needs it
	body   Body             // nil until it is needed
	pieces []piece
}

// A piece is the answer to one item: octets at hand, chosen fields, a stretch of the
// message, a stretch of a decoded part, a number, or NIL.
type piece struct {
	kind   pieceKind
	data   []byte
	at     io.ReaderAt
	open   func() io.Reader // decoded, from the start
	off, n int64
	binary bool // a literal8
	choice choice
}

type pieceKind uint8

const (
	pieceNone pieceKind = iota // not an item with content
	pieceNil
	pieceData
	pieceFields
	pieceRange
	pieceDecoded
	pieceNumber
)

// open turns to a message.
func (s *source) open(ctx context.Context, m Mailbox, id mail.EmailID) {
	*s = source{ctx: ctx, mailbox: m, id: id, pieces: s.pieces[:0]}
}

func (s *source) close() {
	if s.body != nil {
		_ = s.body.Close() // it was only read
		s.body = nil
	}
}

// prepare makes the pieces of all items.
func (s *source) prepare(items []plannedItem) error {
	for i := range items {
		p, err := s.piece(&items[i].FetchItem)
		if err != nil {
			return err
		}
		s.pieces = append(s.pieces, p)
	}
	return nil
}

func (s *source) piece(item *imap.FetchItem) (piece, error) {
	switch item.Kind {
	case imap.FetchBody:
		return s.section(item)
	case imap.FetchRFC822:
		return s.section(&imap.FetchItem{})
	case imap.FetchRFC822Header:
		return s.section(&imap.FetchItem{Section: imap.Section{Text: imap.SectionHeader}})
	case imap.FetchRFC822Text:
		return s.section(&imap.FetchItem{Section: imap.Section{Text: imap.SectionBody}})
	case imap.FetchBinary, imap.FetchBinarySize:
		return s.decoded(item)
	}
	return piece{}, nil
}

// openBody opens the message if it is not open.
func (s *source) openBody() error {
	if s.body != nil {
		return nil
	}
	if s.small.there {
		s.body = &s.small
		return nil
	}
	var err error
	s.body, err = s.mailbox.Body(s.ctx, s.id)
	return err
}

// A smallBody is a message in memory, in two halves.
type smallBody struct {
	first, second []byte
	there         bool
}

func (b *smallBody) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(b.first)) {
		n = copy(p, b.first[off:])
	}
	if off += int64(n) - int64(len(b.first)); n < len(p) && off < int64(len(b.second)) {
		n += copy(p[n:], b.second[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *smallBody) Size() mail.ByteCount { return mail.ByteCount(len(b.first) + len(b.second)) }
func (b *smallBody) Close() error         { return nil }

// stretch is a piece of the message as it stands, cut by the item's partial.
func (s *source) stretch(off, end int64, p imap.Partial) (piece, error) {
	if err := s.openBody(); err != nil {
		return piece{}, err
	}
	end = min(end, int64(s.body.Size()))
	off, n := cut(off, max(end-off, 0), p)
	return piece{kind: pieceRange, at: s.body, off: off, n: n}, nil
}

// cut applies a partial to n octets at off. RFC 9051 §6.4.5
func cut(off, n int64, p imap.Partial) (int64, int64) {
	if p.Count == 0 {
		return off, n
	}
	if p.From >= n {
		return off, 0
	}
	return off + p.From, min(p.Count, n-p.From)
}

// section finds a BODY section. RFC 9051 §6.4.5.1
func (s *source) section(item *imap.FetchItem) (piece, error) {
	sec := &item.Section
	if len(sec.Part) == 0 {
		switch sec.Text {
		case imap.SectionAll:
			return s.stretch(0, 1<<62, item.Partial)
		case imap.SectionBody:
			return s.stretch(s.message.Root.Body, s.message.Root.End, item.Partial)
		}
		if sec.Text == imap.SectionHeader && len(s.header) >= MaxHeader {
			return s.longHeader(item)
		}
		return fields(s.header, item), nil
	}
	p := findPart(&s.message.Root, sec.Part)
	if p == nil {
		return piece{kind: pieceNil}, nil
	}
	switch sec.Text {
	case imap.SectionAll:
		return s.stretch(p.Body, p.End, item.Partial)
	case imap.SectionMIME:
		return s.stretch(p.Header, p.Body, item.Partial)
	}
	// HEADER and TEXT are those of the message in the part.
	if !p.IsMessage() || len(p.Parts) == 0 {
		return piece{kind: pieceNil}, nil
	}
	inner := &p.Parts[0]
	switch sec.Text {
	case imap.SectionBody:
		return s.stretch(inner.Body, inner.End, item.Partial)
	case imap.SectionHeader:
		return s.stretch(inner.Header, inner.Body, item.Partial)
	}
	header, err := s.innerHeader(inner)
	if err != nil {
		return piece{}, err
	}
	return fields(header, item), nil
}

// longHeader is a header that is not at hand as a whole.
func (s *source) longHeader(item *imap.FetchItem) (piece, error) {
	if s.message == nil {
		list, err := s.mailbox.Facts(s.ctx, []mail.EmailID{s.id})
		if err != nil {
			return piece{}, err
		}
		if s.message = list[0]; s.message == nil {
			return piece{kind: pieceNil}, nil
		}
	}
	return s.stretch(0, s.message.Root.Body, item.Partial)
}

// innerHeader reads the header of a message in the message.
func (s *source) innerHeader(inner *message.Part) ([]byte, error) {
	if header := s.inner[inner.Header]; header != nil {
		return header, nil
	}
	if err := s.openBody(); err != nil {
		return nil, err
	}
	header := make([]byte, min(inner.Body-inner.Header, MaxHeader))
	if _, err := s.body.ReadAt(header, inner.Header); err != nil && err != io.EOF {
		return nil, err
	}
	if s.inner == nil {
		s.inner = map[int64][]byte{}
	}
	s.inner[inner.Header] = header
	return header, nil
}

// findPart walks to a part by its numbers. RFC 9051 §6.4.5.1
func findPart(root *message.Part, numbers []int) *message.Part {
	p, inside := root, false // inside: p is a part, not a message that has parts
	for _, n := range numbers {
		if inside && p.IsMessage() {
			if len(p.Parts) == 0 {
				return nil
			}
			p, inside = &p.Parts[0], false
		}
		switch {
		case p.IsMultipart():
			if n > len(p.Parts) {
				return nil
			}
			p, inside = &p.Parts[n-1], true
		case !inside && n == 1: // the one part of a message that is not a multipart
			inside = true
		default:
			return nil
		}
	}
	return p
}

// write writes the piece behind its label.
func (p *piece) write(o *output) error {
	switch p.kind {
	case pieceNil:
		o.b = append(o.b, "NIL"...)
		return nil
	case pieceNumber:
		o.b = appendUint(o.b, uint64(p.n))
		return nil
	case pieceFields:
		o.b = imap.AppendLiteralSize(o.b, p.n)
		return p.choice.write(o, p.off, p.n)
	case pieceData:
		o.b = imap.AppendLiteralSize(o.b, int64(len(p.data)))
		return o.copyAt(bytes.NewReader(p.data), 0, int64(len(p.data)))
	}
	if p.binary {
		o.b = append(o.b, '~')
	}
	o.b = imap.AppendLiteralSize(o.b, p.n)
	if p.kind == pieceRange {
		return o.copyAt(p.at, p.off, p.n)
	}
	r := p.open()
	if _, err := io.CopyN(io.Discard, r, p.off); err != nil {
		return err
	}
	return o.copyFrom(r, p.n)
}
