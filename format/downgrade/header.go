package downgrade

import (
	"fmt"
	"io"

	"waxwing/format/message"
)

// relabel sets the transfer encoding of a part whose body stays.
func (p *planner) relabel(part *message.Part, encoding string, in context) error {
	return p.header(part, encoding, facts{}, in)
}

// label keeps a place for the header of a composite part, whose label has to
// change if it says 8bit or binary, and gives the function that sets it.
func (p *planner) label(part *message.Part) (func(high bool, in context), error) {
	if part.Encoding != "8bit" && part.Encoding != "binary" {
		return nil, nil
	}
	edit, err := p.edit(part)
	if err != nil {
		return nil, err
	}
	p.copyTo(edit.from)
	place := len(p.segments)
	p.segments = append(p.segments, segment{at: edit.from, end: edit.to})
	p.at = edit.to
	return func(high bool, in context) {
		encoding := encodingOf(high)
		if encoding == part.Encoding || in.protected || part.Encoding == "8bit" && p.target == EightBit {
			return // to say more than is needed is no lie
		}
		p.segments[place] = segment{text: field(encoding)}
		p.changed = true
	}, nil
}

func field(encoding string) string { return "Content-Transfer-Encoding: " + encoding + "\r\n" }

// An edit is where the Content-Transfer-Encoding of a part stands, or could.
type edit struct {
	from, to int64
	has      map[string]bool // other fields of MIME that are there
	open     bool            // the header has no empty line behind it
}

// edit finds the field. It is the first one that counts.
func (p *planner) edit(part *message.Part) (edit, error) {
	size := part.Body - part.Header
	if size > maxHeader {
		return edit{}, fmt.Errorf("%w: the header is too large", ErrProtected)
	}
	b := make([]byte, size)
	if _, err := p.src.ReadAt(b, part.Header); err != nil && err != io.EOF {
		return edit{}, err
	}
	e := edit{from: part.Header, has: map[string]bool{}}
	e.to = e.from
	found := false
	for f := range message.Fields(b) {
		if f.Is("Content-Transfer-Encoding") && !found {
			found = true
			e.from, e.to = part.Header+int64(f.Start), part.Header+int64(f.End)
		}
		for _, name := range []string{"MIME-Version", "Content-Type"} {
			e.has[name] = e.has[name] || f.Is(name)
		}
		if !found {
			e.from, e.to = part.Header+int64(f.End), part.Header+int64(f.End)
		}
	}
	e.open = e.to == part.Body
	return e, nil
}

// header sets the transfer encoding of a leaf, and what else a message needs
// that was no MIME message before.
func (p *planner) header(part *message.Part, encoding string, f facts, in context) error {
	if in.protected {
		return fmt.Errorf("%w: it is signed or encrypted", ErrProtected)
	}
	e, err := p.edit(part)
	if err != nil {
		return err
	}
	p.copyTo(e.from)
	text := field(encoding)
	if in.top && !e.has["MIME-Version"] {
		text += "MIME-Version: 1.0\r\n" // RFC 2045 §4
		if !e.has["Content-Type"] {
			charset := "unknown-8bit" // RFC 1428 §3
			if f.utf8 {
				charset = "utf-8"
			}
			text += "Content-Type: text/plain; charset=" + charset + "\r\n"
		}
	}
	if e.open {
		text += "\r\n"
	}
	p.insert(text)
	p.at = e.to
	return nil
}
