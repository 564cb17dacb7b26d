package imapserver

import (
	"bytes"
	"slices"

	"waxwing/format/message"
	"waxwing/proto/imap"
)

// keptHeader is how long a header is of which chosen fields are copied. Of a
// longer one they are chosen twice, to count and to write, so that a FETCH of
// 200 choices holds no 200 copies.
const keptHeader = 64 << 10

// A choice is some of the fields of a header.
type choice struct {
	header []byte
	names  []string
	named  bool // those that are named, or those that are not
}

// fields makes HEADER, HEADER.FIELDS or HEADER.FIELDS.NOT of a header.
func fields(header []byte, item *imap.FetchItem) piece {
	sec := &item.Section
	if sec.Text == imap.SectionHeader {
		off, n := cut(0, int64(len(header)), item.Partial)
		return piece{kind: pieceData, data: header[off : off+n]}
	}
	c := choice{header, sec.Fields, sec.Text == imap.SectionFields}
	if len(header) <= keptHeader {
		out := make([]byte, 0, min(len(header), 1<<10))
		c.each(func(b []byte) { out = append(out, b...) })
		off, n := cut(0, int64(len(out)), item.Partial)
		return piece{kind: pieceData, data: out[off : off+n]}
	}
	p := piece{kind: pieceFields, choice: c}
	c.each(func(b []byte) { p.n += int64(len(b)) })
	p.off, p.n = cut(0, p.n, item.Partial)
	return p
}

// each gives the fields that are chosen, as they stand, and the empty line.
// RFC 9051 §6.4.5.1
func (c *choice) each(give func([]byte)) {
	end := 0
	for f := range message.Fields(c.header) {
		end = f.End
		is := slices.ContainsFunc(c.names, func(name string) bool { return f.Is(name) })
		if len(f.Name) > 0 && is == c.named {
			give(c.header[f.Start:f.End])
		}
	}
	// What is left is the empty line; a header that ends without one, as in
	// a message without a body, has none to give.
	give(c.header[end:])
}

// write writes n octets from off on.
func (c *choice) write(o *output, off, n int64) error {
	var err error
	c.each(func(b []byte) {
		skip := min(off, int64(len(b)))
		off -= skip
		b = b[skip:]
		b = b[:min(int64(len(b)), n)]
		n -= int64(len(b))
		if err == nil && len(b) > 0 {
			err = o.copyAt(bytes.NewReader(b), 0, int64(len(b)))
		}
	})
	return err
}
