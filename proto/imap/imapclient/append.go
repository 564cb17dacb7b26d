package imapclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// An Appended is one message that goes to the server.
type Appended struct {
	Flags    []string // as IMAP writes them; nothing else is in them
	Internal time.Time
	Size     int64
	Text     io.Reader // gives as many octets, with CRLF at the ends of lines
	UTF8     bool      // its header is not ASCII
	Binary   bool      // it has NULs
}

// errShort says that the text of a message has ended too early.
var errShort = errors.New("a message is shorter than was said")

// appendDate is RFC 9051's date-time.
const appendDate = "02-Jan-2006 15:04:05 -0700"

// MultiAppend tells whether Append takes several messages: all of them get
// there, or none. RFC 3502 §6.3.11
func (c *Client) MultiAppend() bool { return c.Has("MULTIAPPEND") }

// Append puts messages into a mailbox, in one command; more than one only
// where MultiAppend says so. After a *Refusal none of them is there. After a
// *Lost nobody knows. RFC 9051 §6.3.12
func (c *Client) Append(ctx context.Context, raw string, list ...Appended) error {
	if c.broken != nil {
		return c.broken
	}
	defer c.watch(ctx)()
	c.tags++
	tag := fmt.Sprint("W", c.tags)
	_, _ = c.out.WriteString(tag + " APPEND " + quote(raw))
	for i := range list {
		if err := c.appendOne(ctx, tag, &list[i], i == len(list)-1); err != nil {
			return err
		}
	}
	_, _ = c.out.WriteString("\r\n") // its error comes with Flush
	if err := c.flush(); err != nil {
		return c.lost(ctx, "APPEND", err)
	}
	r, err := c.await(ctx, "APPEND", tag, nil, nil)
	if err == nil && r.tag == "+" {
		err = c.lost(ctx, "APPEND", errUnasked)
	}
	return err
}

// appendOne writes one message of an APPEND, and waits before it where the
// server wants to be asked; also before the last one: else a server that is slow
// would have much of what we sent still to work at when we are long gone, and
// who connects again would not see it.
func (c *Client) appendOne(ctx context.Context, tag string, m *Appended, last bool) error {
	head := " (" + strings.Join(m.Flags, " ") + `) "` + m.Internal.Format(appendDate) + `" `
	tail := ""
	switch {
	case m.UTF8 && c.utf8:
		head, tail = head+"UTF8 (~", ")" // RFC 6855 §4
	case m.Binary && c.Has("BINARY"):
		head += "~" // RFC 3516 §4.4
	}
	// RFC 7888 §4, §5
	wait := last || !c.Has("LITERAL+") && (!c.Has("LITERAL-") && !c.Has("IMAP4REV2") || m.Size > 4096)
	if wait {
		head += fmt.Sprintf("{%d}\r\n", m.Size)
	} else {
		head += fmt.Sprintf("{%d+}\r\n", m.Size)
	}
	_, _ = c.out.WriteString(head)
	if wait {
		if err := c.flush(); err != nil {
			return c.lost(ctx, "APPEND", err)
		}
		if r, err := c.await(ctx, "APPEND", tag, nil, nil); err != nil {
			return err
		} else if r.tag != "+" {
			return c.lost(ctx, "APPEND", errors.New("an answer before the question"))
		}
	}
	if err := c.copy(m); err != nil {
		return c.lost(ctx, "APPEND", err)
	}
	_, _ = c.out.WriteString(tail)
	return nil
}

// copy writes the octets of a message. As long as the server takes them it has
// its time.
func (c *Client) copy(m *Appended) error {
	n, err := io.Copy(&patient{c, c.out}, io.LimitReader(m.Text, m.Size))
	if err == nil && n < m.Size {
		err = errShort
	}
	return err
}

// A patient writer gives the server time for each piece.
type patient struct {
	c   *Client
	out *bufio.Writer
}

func (p *patient) Write(b []byte) (int, error) {
	p.c.alive()
	return p.out.Write(b)
}

// Create makes a mailbox; that there is one already is no error.
func (c *Client) Create(ctx context.Context, raw string) error {
	_, err := c.command(ctx, "CREATE "+quote(raw), nil)
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code == "ALREADYEXISTS" { // RFC 5530 §3
		return nil
	}
	return err
}

// Subscribe subscribes to a mailbox.
func (c *Client) Subscribe(ctx context.Context, raw string) error {
	_, err := c.command(ctx, "SUBSCRIBE "+quote(raw), nil)
	return err
}

// Select opens a mailbox, so that flags can be set in it. RFC 9051 §6.3.2
func (c *Client) Select(ctx context.Context, raw string) (Opened, error) {
	return c.open(ctx, "SELECT", raw)
}

// AddFlags adds flags to those that messages of the selected mailbox have.
func (c *Client) AddFlags(ctx context.Context, uids []mail.UID, flags []string) error {
	set := imap.AppendNumbers(nil, uids)
	_, err := c.command(ctx, fmt.Sprintf("UID STORE %s +FLAGS.SILENT (%s)", set, strings.Join(flags, " ")), nil)
	return err
}

// Heads asks for the fields by which messages of the selected mailbox are known
// again: Message-ID, From, Subject and Date, as they stand in the header. Those
// that are gone are passed over.
func (c *Client) Heads(ctx context.Context, uids []mail.UID, each func(uid mail.UID, fields []byte) error) error {
	set := imap.AppendNumbers(nil, uids)
	_, err := c.command(ctx, fmt.Sprintf("UID FETCH %s (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID FROM SUBJECT DATE)])", set), func(r *response) error {
		if r.fetched == nil || r.fetched.UID == 0 || r.fetched.head == nil {
			return nil
		}
		return each(r.fetched.UID, r.fetched.head)
	})
	return err
}

// Name gives the name that the server has for a mailbox, of those that List
// has seen: with its separator, and below what stands before all. A separator
// within a level becomes "_".
func (c *Client) Name(levels []string) string {
	if len(levels) == 1 && strings.EqualFold(levels[0], imap.Inbox) {
		return imap.Inbox
	}
	all := make([]string, len(levels))
	for i, level := range levels {
		if c.separator != "" {
			level = strings.ReplaceAll(level, c.separator, "_")
		}
		if all[i] = level; !c.utf8 {
			all[i] = imap.EncodeUTF7(level)
		}
	}
	separator := c.separator
	if separator == "" { // there are no levels
		separator = "_"
	}
	return c.prefix + strings.Join(all, separator)
}
