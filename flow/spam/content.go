package spam

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"waxwing/flow/deliver"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/milter"
	"waxwing/proto/milter/milterclient"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
)

// maxHeader is the largest header of a message that filters are asked about:
// it is held in memory.
const maxHeader = 1 << 20

// A line is one header field, with its line end.
type line struct {
	name string // empty for what is no field
	raw  []byte
	ours bool // a filter has written it
}

// A content is a message as filters see and change it: the fields in front of
// our Received, which they do not see, those behind it, and the body.
type content struct {
	arrival *deliver.Arrival
	top     []line
	fields  []line
	body    *blob.Staged // a new one; nil for the arrival's
	changed bool
}

// load takes an arrival's header apart.
func load(a *deliver.Arrival) (*content, error) {
	n := a.Parsed.Root.Body
	if n > maxHeader {
		return nil, &smtp.Refusal{
			Code: 552, Enhanced: smtp.Enhanced{5, 3, 4},
			Text: fmt.Sprintf("the header is larger than %s", mail.ByteCount(maxHeader)),
		}
	}
	header := make([]byte, n)
	if _, err := a.Body.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read header: %w", err)
	}
	c := &content{arrival: a}
	for f := range message.Fields(header) {
		raw := header[f.Start:f.End:f.End]
		if !bytes.HasSuffix(raw, []byte("\n")) {
			raw = append(raw, "\r\n"...)
		}
		c.fields = append(c.fields, line{name: string(f.Name), raw: raw})
	}
	return c, nil
}

// close lets go of a body that was not used.
func (c *content) close() {
	if c.body != nil {
		_ = c.body.Close()
	}
}

// bodyReader reads the body.
func (c *content) bodyReader() io.Reader {
	if c.body != nil {
		return c.body.Reader()
	}
	at := c.arrival.Parsed.Root.Body
	return io.NewSectionReader(c.arrival.Body, at, int64(c.arrival.Body.Size())-at)
}

// reader reads the message without what stands in front of our Received.
func (c *content) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(appendLines(nil, c.fields)), strings.NewReader("\r\n"), c.bodyReader())
}

// size is how much reader gives.
func (c *content) size() int64 {
	n := int64(2)
	for _, l := range c.fields {
		n += int64(len(l.raw))
	}
	if c.body != nil {
		return n + int64(c.body.Size())
	}
	return n + int64(c.arrival.Body.Size()) - c.arrival.Parsed.Root.Body
}

func appendLines(dst []byte, lines []line) []byte {
	for _, l := range lines {
		dst = append(dst, l.raw...)
	}
	return dst
}

// milterFields gives the fields as a milter gets them.
func (c *content) milterFields(yield func(milterclient.Field) bool) {
	for _, list := range [][]line{c.top, c.fields} {
		for _, l := range list {
			if l.name == "" {
				continue
			}
			_, value, _ := strings.Cut(strings.TrimRight(string(l.raw), "\r\n"), ":")
			if !yield(milterclient.Field{Name: l.name, Value: value}) {
				return
			}
		}
	}
}

// newLine writes a field of a filter's. The value has LF line ends and what
// white space there is to be behind the colon.
func newLine(name, value string) line {
	return line{name: name, raw: []byte(name + ":" + strings.ReplaceAll(value, "\n", "\r\n") + "\r\n"), ours: true}
}

// add puts a field behind the others.
func (c *content) add(name, value string) {
	c.fields, c.changed = append(c.fields, newLine(name, value)), true
}

// insert puts a field at a place among all fields, of which our Received is
// one: 0 is in front of it, as Sendmail has it.
func (c *content) insert(index int, name, value string) {
	if index <= len(c.top) {
		c.top = slices.Insert(c.top, index, newLine(name, value))
		return
	}
	at := min(index-len(c.top)-1, len(c.fields))
	c.fields, c.changed = slices.Insert(c.fields, at, newLine(name, value)), true
}

// change changes the n-th field of a name, deletes it if the value is empty,
// or adds it if there are not so many.
func (c *content) change(n int, name, value string) {
	for _, list := range []*[]line{&c.top, &c.fields} {
		for i, l := range *list {
			if !strings.EqualFold(l.name, name) {
				continue
			}
			if n--; n > 0 {
				continue
			}
			if value == "" {
				*list = slices.Delete(*list, i, i+1)
			} else {
				(*list)[i] = newLine(l.name, value)
			}
			c.changed = c.changed || list == &c.fields
			return
		}
	}
	if value != "" {
		c.add(name, value)
	}
}

// remove takes out the fields for which gone holds.
func (c *content) remove(gone func(line) bool) {
	n := len(c.fields)
	c.fields = slices.DeleteFunc(c.fields, gone)
	c.changed = c.changed || len(c.fields) != n
}

// heed makes a milter's change of the message itself; false if it is of another
// kind.
func (c *content) heed(change milter.Change, stage func() *blob.Staged) (bool, error) {
	switch m := change.(type) {
	case milter.AddHeader:
		c.add(m.Name, m.Value)
	case milter.InsertHeader:
		c.insert(m.Index, m.Name, m.Value)
	case milter.ChangeHeader:
		c.change(m.Index, m.Name, m.Value)
	case milter.ReplaceBody:
		if c.body == nil {
			c.body, c.changed = stage(), true
		}
		_, err := c.body.Write(m.Chunk)
		return true, err
	default:
		return false, nil
	}
	return true, nil
}
