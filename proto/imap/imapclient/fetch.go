package imapclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// Fetched is what the server tells of one message.
type Fetched struct {
	UID      mail.UID
	Flags    []string // as they were written
	Internal time.Time
	Size     int64
	Labels   []string // Gmail's; nil without X-GM-LABELS

	body []byte // one that came before the UID
	head []byte // fields that were asked for
}

// bodies takes messages from responses to a UID FETCH.
type bodies struct {
	wanted []mail.UID
	fn     func(uid mail.UID, size int64, text io.Reader) error
}

// early is how large a message may be that comes before its UID, which no
// server in the field does.
const early = 4 << 20

// fetch reads the list of a FETCH. RFC 9051 §7.5.2
func (r *reader) fetch(b *bodies) (*Fetched, error) {
	if ok, err := r.skip('('); err != nil || !ok {
		return nil, errors.Join(err, bad("a FETCH without a list"))
	}
	f := &Fetched{}
	for {
		if ok, err := r.skip(' '); err != nil {
			return nil, err
		} else if ok {
			continue
		}
		if ok, err := r.skip(')'); err != nil {
			return nil, err
		} else if ok {
			break
		}
		name, err := r.word()
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, bad("an item without a name")
		}
		if _, err := r.skip(' '); err != nil {
			return nil, err
		}
		name = strings.ToUpper(name)
		if name == "BODY[]" || name == "RFC822" {
			err = r.body(f, b)
		} else {
			err = r.item(f, name)
		}
		if err != nil {
			return nil, err
		}
	}
	if f.body != nil && b != nil && f.UID != 0 {
		if err := b.fn(f.UID, int64(len(f.body)), bytes.NewReader(f.body)); err != nil {
			return nil, &ownError{err}
		}
	}
	return f, nil
}

// body passes a message on, or over.
func (r *reader) body(f *Fetched, b *bodies) error {
	if c, err := r.peek(); err != nil {
		return err
	} else if c != '"' && c != '{' && c != '~' { // NIL: there is none
		_, err := r.value(0)
		return err
	}
	size, quoted, err := r.stringStart()
	if err != nil {
		return err
	}
	uid := f.UID
	if uid == 0 && b != nil && len(b.wanted) == 1 {
		uid = b.wanted[0]
	}
	switch {
	case quoted != nil && (uid == 0 || b == nil):
		f.body = quoted
		return nil
	case quoted != nil:
		if err := b.fn(uid, int64(len(quoted)), bytes.NewReader(quoted)); err != nil {
			return &ownError{err}
		}
		return nil
	}
	text := &literal{from: r, left: size}
	switch {
	case b != nil && uid != 0:
		if err := b.fn(uid, size, text); err != nil && text.err == nil {
			return &ownError{err}
		}
	case b != nil:
		if size > early {
			return bad("a large message without a UID before it")
		}
		f.body, _ = io.ReadAll(text)
	}
	_, err = io.Copy(io.Discard, text)
	return err
}

// item reads the value of another item; what is not known is passed over.
func (r *reader) item(f *Fetched, name string) error {
	v, err := r.value(0)
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, "BODY[HEADER.FIELDS ") {
		f.head = []byte(v.text)
		return nil
	}
	switch name {
	case "UID":
		n, err := strconv.ParseUint(v.text, 10, 32)
		if err != nil || n == 0 {
			return bad("a UID of %.20q", v.text)
		}
		f.UID = mail.UID(n)
	case "FLAGS":
		f.Flags = texts(v.list)
	case "X-GM-LABELS":
		f.Labels = texts(v.list)
	case "INTERNALDATE":
		f.Internal = parseDate(v.text)
	case "RFC822.SIZE":
		if n, err := strconv.ParseInt(v.text, 10, 64); err == nil && n > 0 {
			f.Size = n
		}
	}
	return nil
}

func texts(list []value) []string {
	all := make([]string, 0, len(list))
	for _, v := range list {
		if v.text != "" {
			all = append(all, v.text)
		}
	}
	return all
}

// parseDate reads a date-time; zero for what makes no sense.
func parseDate(text string) time.Time {
	for _, form := range []string{"2-Jan-2006 15:04:05 -0700", "_2-Jan-2006 15:04:05 -0700", "2-Jan-2006 15:04:05"} {
		if t, err := time.Parse(form, strings.TrimSpace(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Listing asks for all messages of the selected mailbox: UID, flags, date,
// size and, where the server has them, labels.
func (c *Client) Listing(ctx context.Context, each func(*Fetched) error) error {
	items := "UID FLAGS INTERNALDATE RFC822.SIZE"
	if c.Has("X-GM-EXT-1") {
		items += " X-GM-LABELS"
	}
	_, err := c.command(ctx, "UID FETCH 1:* ("+items+")", func(r *response) error {
		if r.fetched == nil || r.fetched.UID == 0 {
			return nil
		}
		for i, l := range r.fetched.Labels {
			if name, err := imap.DecodeMailbox(l, c.utf8); err == nil {
				r.fetched.Labels[i] = name
			}
		}
		return each(r.fetched)
	})
	return err
}

// Messages fetches messages of the selected mailbox in groups: while one is
// read the next is under way. fn gets each message and reads it at once; an
// error of fn ends the connection. What is refused of a group is told with
// refused; messages that are gone are passed over.
func (c *Client) Messages(ctx context.Context, groups [][]mail.UID, fn func(uid mail.UID, size int64, text io.Reader) error, refused func(group []mail.UID, r *Refusal)) error {
	const ahead = 2
	if c.broken != nil {
		return c.broken
	}
	defer c.watch(ctx)()
	var tags []string
	for i := range groups {
		for len(tags) < len(groups) && len(tags) < i+ahead {
			set := imap.AppendNumbers(nil, groups[len(tags)])
			tags = append(tags, c.begin(fmt.Sprintf("UID FETCH %s (UID BODY.PEEK[])", set)))
		}
		if err := c.flush(); err != nil {
			return c.lost(ctx, "FETCH", err)
		}
		// Answers to the command after this one may come already: the server may
		// work at both.
		b := &bodies{wanted: groups[i], fn: fn}
		done, err := c.await(ctx, "FETCH", tags[i], nil, b)
		if err == nil && done.tag == "+" {
			err = c.lost(ctx, "FETCH", errUnasked)
		}
		var r *Refusal
		switch {
		case errors.As(err, &r):
			refused(groups[i], r)
		case err != nil:
			return err
		}
	}
	return nil
}
