package abstract

import (
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"waxwing/format/casemap"
	"waxwing/format/message"
)

// A Sink takes folded text. Consecutive writes belong together until End;
// nothing is found across an End.
type Sink interface {
	Write(piece []byte) // which is the caller's again afterwards
	End()
	// Enough tells that no more text is wanted.
	Enough() bool
}

// MaxHeader is how much of a header is looked at: of the message and of each
// of its parts.
const MaxHeader = 1 << 20

// Header writes the fields of a header, each as a person reads it: its name,
// a colon, a space and the decoded text.
func Header(h message.Header, sink Sink) {
	buf := pieces.Get().(*pieceBuffers)
	defer pieces.Put(buf)
	for _, f := range h {
		if sink.Enough() {
			return
		}
		buf.folded = casemap.Fold(buf.folded[:0], f.Name)
		buf.folded = append(buf.folded, ": "...)
		buf.folded = casemap.Fold(buf.folded, []byte(message.DecodeHeader(f.Text())))
		sink.Write(buf.folded)
		sink.End()
	}
	buf.shrink()
}

// Body writes what is below a message's own header: the headers of its parts,
// and its text parts. body is the whole message, to which root's offsets
// refer. It fails only if body does.
func Body(body io.ReaderAt, root *message.Part, sink Sink) error {
	return part(body, root, sink, true)
}

func part(body io.ReaderAt, p *message.Part, sink Sink, root bool) error {
	if sink.Enough() {
		return nil
	}
	if !root {
		header := make([]byte, max(min(p.Body-p.Header, MaxHeader), 0))
		if _, err := body.ReadAt(header, p.Header); err != nil && err != io.EOF {
			return err
		}
		Header(message.ParseHeader(header), sink)
	}
	for i := range p.Parts {
		if err := part(body, &p.Parts[i], sink, false); err != nil {
			return err
		}
	}
	if p.Type != "text" || len(p.Parts) > 0 {
		return nil
	}
	if raw, ok := whole(body, p); ok && plain(raw, p) {
		text(raw, sink)
		return nil
	}
	raw := io.NewSectionReader(body, p.Body, max(p.End-p.Body, 0))
	return read(message.DecodeText(message.DecodeBody(raw, p.Encoding), p.Charset()), sink)
}

// whole gives the octets of a part of a message that is in memory.
func whole(body io.ReaderAt, p *message.Part) ([]byte, bool) {
	m, ok := body.(interface{ Bytes() []byte })
	if !ok {
		return nil, false
	}
	all := m.Bytes()
	end := min(p.End, int64(len(all)))
	if p.Body > end {
		return nil, false
	}
	return all[p.Body:end], true
}

// plain tells whether decoding a part would change nothing in it.
func plain(raw []byte, p *message.Part) bool {
	switch p.Encoding {
	case "7bit", "8bit", "binary", "":
	default:
		return false
	}
	switch label := p.Charset(); {
	case label == "us-ascii", label == "utf-8", label == "ascii":
		return utf8.Valid(raw)
	case strings.HasPrefix(label, "iso-8859-"), strings.HasPrefix(label, "windows-125"):
		for _, c := range raw {
			if c >= utf8.RuneSelf {
				return false
			}
		}
		return true
	}
	return false
}

// pieceSize is how much text is folded at a time.
const pieceSize = 32 << 10

type pieceBuffers struct{ raw, folded []byte }

var pieces = sync.Pool{New: func() any {
	return &pieceBuffers{make([]byte, pieceSize), make([]byte, 0, pieceSize+64)}
}}

// shrink lets go of what one long field has made grow.
func (b *pieceBuffers) shrink() {
	if cap(b.folded) > 4*pieceSize {
		b.folded = make([]byte, 0, pieceSize+64)
	}
}

// text writes a text that is in memory.
func text(raw []byte, sink Sink) {
	buf := pieces.Get().(*pieceBuffers)
	defer pieces.Put(buf)
	for len(raw) > 0 && !sink.Enough() {
		piece := raw
		if len(raw) > pieceSize {
			piece = raw[:casemap.Boundary(raw[:pieceSize])]
		}
		buf.folded = casemap.Fold(buf.folded[:0], piece)
		sink.Write(buf.folded)
		raw = raw[len(piece):]
	}
	buf.shrink()
	sink.End()
}

// read writes the text that r gives.
func read(r io.Reader, sink Sink) error {
	buf := pieces.Get().(*pieceBuffers)
	defer pieces.Put(buf)
	held := 0 // octets at the start of raw that have not been folded yet
	for !sink.Enough() {
		n, err := io.ReadFull(r, buf.raw[held:])
		last := err != nil
		if last && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		chunk := buf.raw[:held+n]
		end := len(chunk)
		if !last {
			end = casemap.Boundary(chunk)
		}
		buf.folded = casemap.Fold(buf.folded[:0], chunk[:end])
		sink.Write(buf.folded)
		if last {
			break
		}
		held = copy(buf.raw, chunk[end:])
	}
	buf.shrink()
	sink.End()
	return nil
}
