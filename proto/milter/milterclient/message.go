package milterclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"waxwing/proto/milter"
)

// How much a filter may change in one message.
const (
	maxChanges     = 2000
	maxChangedText = 1 << 20 // octets of fields and addresses
)

// A Field is one header field of the message; the value is raw, all behind the
// colon, without the final line end.
type Field struct{ Name, Value string }

// Message sends the message and gives the verdict. What the filter changes is
// given to change in its order, a new body piece by piece; an error of change
// ends it. The message is over then, whatever comes out.
func (c *Conn) Message(ctx context.Context, fields func(yield func(Field) bool), body io.Reader, change func(milter.Change) error) (milter.Verdict, error) {
	v, err := c.header(ctx, fields)
	if err == nil && v.Reply == milter.Continue {
		v, err = c.body(ctx, body)
	}
	if err == nil && v.Reply == milter.Continue {
		v, err = c.end(ctx, change)
	}
	if err != nil {
		return v, err
	}
	// One that has ended before its end has to be told so.
	return v, c.Abort(ctx)
}

func (c *Conn) header(ctx context.Context, fields func(yield func(Field) bool)) (milter.Verdict, error) {
	v, err := goOn, error(nil)
	if c.offer.Steps&milter.NoHeaders == 0 {
		for f := range fields {
			// Filters know lines that end in LF alone.
			value := strings.ReplaceAll(f.Value, "\r\n", "\n")
			if c.offer.Steps&milter.LeadingSpace == 0 {
				value = strings.TrimLeft(value, " \t")
			}
			// A packet of a filter of the usual build is no larger.
			if room := milter.ChunkSize - len(f.Name) - 3; len(value) > room {
				value = value[:max(room, 0)]
			}
			c.out = milter.AppendHeader(c.out, f.Name, value)
			v, err = c.ask(ctx, c.options.ContentTimeout, milter.SilentHeader)
			if err != nil || v.Reply != milter.Continue {
				break
			}
		}
	}
	if v.Reply == milter.Skip {
		v = goOn
	}
	if err != nil || v.Reply != milter.Continue || c.offer.Steps&milter.NoEOH != 0 {
		return v, err
	}
	c.define(milter.AtEOH)
	c.out = milter.AppendPlain(c.out, milter.EndHeader)
	return c.ask(ctx, c.options.ContentTimeout, milter.SilentEOH)
}

func (c *Conn) body(ctx context.Context, body io.Reader) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoBody != 0 {
		return goOn, nil
	}
	chunk := make([]byte, milter.ChunkSize)
	for {
		n, err := io.ReadFull(body, chunk)
		if n > 0 {
			c.out = milter.AppendBody(c.out, chunk[:n])
			v, err := c.ask(ctx, c.options.ContentTimeout, milter.SilentBody)
			switch {
			case err != nil:
				return v, err
			case v.Reply == milter.Skip:
				return goOn, nil // it has seen enough
			case v.Reply != milter.Continue:
				return v, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return goOn, nil
		case err != nil:
			return goOn, fmt.Errorf("read the message: %w", err)
		}
	}
}

// end sends the end of the message and takes the changes, then the verdict.
func (c *Conn) end(ctx context.Context, change func(milter.Change) error) (milter.Verdict, error) {
	c.define(milter.AtEnd)
	c.out = milter.AppendPlain(c.out, milter.End)
	verdict := goOn
	var sum tally
	err := c.during(ctx, c.options.ContentTimeout, func() error {
		if err := c.flush(); err != nil {
			return err
		}
		for {
			got, v, err := c.answer(ctx, c.options.ContentTimeout)
			if err != nil {
				return err
			}
			if v != nil {
				verdict = *v
				return nil
			}
			if !c.offer.Actions.Permits(got) {
				return fmt.Errorf("the filter does what it has not asked for (%T)", got)
			}
			if err := sum.add(got, c.options.MaxBody); err != nil {
				return err
			}
			if err := change(c.spaced(got)); err != nil {
				return err
			}
			if err := c.nc.SetReadDeadline(deadline(ctx, c.options.ContentTimeout)); err != nil {
				return err
			}
		}
	})
	if err == nil {
		c.open = false
	}
	return verdict, err
}

// spaced puts white space in front of a field's value, unless the filter has
// promised to do so itself.
func (c *Conn) spaced(change milter.Change) milter.Change {
	if c.offer.Steps&milter.LeadingSpace != 0 {
		return change
	}
	switch f := change.(type) {
	case milter.AddHeader:
		f.Value = " " + f.Value
		return f
	case milter.InsertHeader:
		f.Value = " " + f.Value
		return f
	case milter.ChangeHeader:
		if f.Value != "" { // which deletes the field
			f.Value = " " + f.Value
		}
		return f
	}
	return change
}

// A tally counts what a filter changes.
type tally struct {
	changes, text int
	body          int64
}

func (t *tally) add(c milter.Change, maxBody int64) error {
	switch c := c.(type) {
	case milter.ReplaceBody:
		if t.body += int64(len(c.Chunk)); t.body > maxBody {
			return errors.New("the filter's body is too large")
		}
		return nil
	case milter.AddHeader:
		t.text += len(c.Name) + len(c.Value)
	case milter.InsertHeader:
		t.text += len(c.Name) + len(c.Value)
	case milter.ChangeHeader:
		t.text += len(c.Name) + len(c.Value)
	}
	if t.changes++; t.changes > maxChanges || t.text > maxChangedText {
		return errors.New("the filter changes too much")
	}
	return nil
}
