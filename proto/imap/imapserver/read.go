package imapserver

import (
	"bytes"
	"errors"
	"io"

	"waxwing/obs"
	"waxwing/proto/imap"
)

// A tagged is a command with its tag.
type tagged struct {
	tag string
	imap.Command
}

// tooBig answers a literal that is not wanted. RFC 7888 §5
var tooBig = &imap.Refusal{Code: imap.CodeTooBig, Text: "Literal is too large"}

// maxSkipped is the most that is read and thrown away when a client sends a
// literal without asking that is not wanted; beyond it, the connection ends.
const maxSkipped = 64 << 20

// readCommand reads one command with its literals; an APPEND only up to its
// message. It gives nil when the client has been answered already.
func (c *conn) readCommand() (*tagged, error) {
	limit := maxEarlyCommand
	if c.state != notAuthenticated {
		limit = c.server.options.MaxCommand
	}
	text := c.text[:0]
	defer func() {
		if cap(c.text) > 4<<10 { // an idle connection keeps little
			c.text = nil
		}
	}()
	var tag string
	var rest int // where the command begins in text
	for {
		var err error
		if text, err = c.in.line(text, limit-len(text), c.patience()); err != nil {
			return nil, err
		}
		c.text = text
		if tag == "" {
			if len(text) == 0 {
				continue // QUIRK: an empty line between commands is passed over.
			}
			if c.state == notAuthenticated && foreign(text) {
				c.bye("", "This is an IMAP server")
				return nil, nil
			}
			var after []byte
			if tag, after, err = imap.ParseTag(text); err != nil {
				if tag == "" {
					tag = "*"
				}
				return nil, c.refuseLine(tag, text, err)
			}
			rest = len(text) - len(after)
		}
		lit, ok := imap.LineLiteral(text)
		if imap.IsAppend(text[rest:]) {
			a := &appending{parser: new(imap.AppendParser)}
			steps, missing, err := a.parser.Next(text[rest:])
			if err != nil {
				c.dialog(tag, "BAD", err)
				return nil, c.refuseText(tag, lit, ok, err)
			}
			if !missing {
				a.Append, a.steps = a.parser.Command, steps
				c.dialog(tag, a.Name(), nil)
				return &tagged{tag, a}, nil
			}
		} else if !ok {
			return c.parse(tag, text[rest:])
		}
		if lit.Size > int64(limit-len(text)) {
			return nil, c.refuseLiteral(tag, lit, tooBig)
		}
		if text, err = c.readLiteral(text, lit); err != nil {
			return nil, err
		}
		c.text = text
	}
}

// readLiteral adds a literal to the command's text, as it stands on the wire.
func (c *conn) readLiteral(text []byte, lit imap.Literal) ([]byte, error) {
	if !lit.NonSync {
		c.out.line("+ OK")
	}
	text = append(text, '\r', '\n')
	buf := bytes.NewBuffer(text)
	_, err := c.in.copyTo(buf, lit.Size, c.patience())
	return buf.Bytes(), err
}

func (c *conn) parse(tag string, rest []byte) (*tagged, error) {
	cmd, err := imap.Parse(rest)
	if err != nil {
		what := err.Error()
		if errors.Is(err, imap.ErrUnknown) {
			what = "Unknown command"
		}
		c.dialog(tag, "BAD", err)
		c.blame(tag, what)
		return nil, nil
	}
	c.dialog(tag, cmd.Name(), nil)
	return &tagged{tag, cmd}, nil
}

func (c *conn) dialog(tag, name string, err error) {
	if c.debug {
		c.info.Log.Debug("command", "tag", tag, "command", name, obs.Err, err)
	}
}

// refuseLine answers a line without a usable tag.
func (c *conn) refuseLine(tag string, text []byte, err error) error {
	c.blame(tag, err.Error())
	if lit, ok := imap.LineLiteral(text); ok && lit.NonSync {
		return c.skip(lit)
	}
	return nil
}

// foreign tells whether a line is HTTP or TLS. A browser that was led here is
// not argued with.
func foreign(text []byte) bool {
	for _, method := range [...]string{"GET /", "POST /", "HEAD /", "PUT /", "OPTIONS ", "CONNECT ", "PRI * HTTP", "\x16\x03"} {
		if bytes.HasPrefix(text, []byte(method)) {
			return true
		}
	}
	return false
}

// refuseLiteral answers a command whose literal is not wanted, before an
// octet of it has been read. What a client sends without waiting has to be
// read and thrown away. RFC 7888 §4
func (c *conn) refuseLiteral(tag string, lit imap.Literal, err error) error {
	if err := c.finish(tag, "", reply{}, err); err != nil {
		return err
	}
	if !lit.NonSync {
		return nil
	}
	return c.skip(lit)
}

// refuseText answers a command that may end in the announcement of a literal.
func (c *conn) refuseText(tag string, lit imap.Literal, announced bool, err error) error {
	if !announced {
		return c.finish(tag, "", reply{}, err)
	}
	return c.refuseLiteral(tag, lit, err)
}

// skip throws away a literal and what follows it up to the command's end.
func (c *conn) skip(lit imap.Literal) error {
	var text []byte
	for skipped := int64(0); ; {
		if skipped += lit.Size; lit.Size > maxSkipped || skipped > maxSkipped {
			c.bye(imap.CodeTooBig, "Literal is too large")
			return errSaid
		}
		if _, err := c.in.copyTo(io.Discard, lit.Size, c.patience()); err != nil {
			return err
		}
		var err error
		if text, err = c.in.line(text[:0], maxEarlyCommand, c.patience()); err != nil {
			return err
		}
		var more bool
		if lit, more = imap.LineLiteral(text); !more || !lit.NonSync {
			return nil
		}
		skipped += int64(len(text))
	}
}
