package imapserver

import (
	"bytes"
	"context"
	"errors"
	"io"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// A linked is what a URL stands for: a message that is open, or a part of it.
type linked struct {
	mailbox Mailbox // to be closed; nil where it is the session's own
	source  source
	part    *message.Part // of the message; nil where the section is none
}

func (l *linked) close() {
	l.source.close()
	if l.mailbox != nil {
		l.mailbox.Close()
	}
}

// errBadURL says that a URL stands for nothing that the user may read.
var errBadURL = errors.New("URL stands for nothing")

// follow opens what a URL stands for; errBadURL if it is nothing. in is the
// mailbox of a URL that names none.
func follow(ctx context.Context, a Account, u *imap.URL, in Mailbox) (*linked, error) {
	l := &linked{}
	m := in
	if u.Mailbox != "" {
		var err error
		if m, err = a.Open(ctx, u.Mailbox); err != nil {
			if _, refused := errors.AsType[*imap.Refusal](err); refused {
				return nil, errBadURL
			}
			return nil, err
		}
		l.mailbox = m
	}
	err := l.find(ctx, m, u)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// find finds the message.
func (l *linked) find(ctx context.Context, m Mailbox, u *imap.URL) error {
	if m == nil {
		return errBadURL
	}
	s := m.Snapshot()
	if u.UIDValidity != 0 && u.UIDValidity != s.Status().UIDValidity {
		return errBadURL
	}
	i, found := s.Find(u.UID)
	if !found {
		return errBadURL
	}
	e := s.At(i)
	l.source.open(ctx, m, e.Email)
	facts, err := m.Facts(ctx, []mail.EmailID{e.Email})
	if err != nil {
		return gone(err)
	}
	if l.source.message = facts[0]; facts[0] == nil {
		return errBadURL
	}
	if needsHeader(imap.FetchItem{Kind: imap.FetchBody, Section: u.Section}) {
		headers, err := m.Headers(ctx, []mail.EmailID{e.Email})
		if err != nil {
			return gone(err)
		}
		l.source.header = headers[0]
	}
	if u.Section.Text == imap.SectionAll {
		l.part = &facts[0].Root
		if len(u.Section.Part) > 0 {
			l.part = findPart(&facts[0].Root, u.Section.Part)
		}
	}
	return nil
}

// gone turns "the message is gone" into errBadURL.
func gone(err error) error {
	if r, ok := errors.AsType[*imap.Refusal](err); ok && r.Code == imap.CodeExpungeIssued {
		return errBadURL
	}
	return err
}

// octets gives what the URL stands for, with decode without its transfer
// encoding.
func (l *linked) octets(u *imap.URL, decode bool) (piece, error) {
	item := imap.FetchItem{Kind: imap.FetchBody, Peek: true, Section: u.Section, Partial: u.Partial}
	if decode && u.Section.Text == imap.SectionAll {
		item.Kind = imap.FetchBinary
	}
	p, err := l.source.piece(&item)
	if err != nil {
		return piece{}, gone(err)
	}
	if p.kind == pieceNil {
		return piece{}, errBadURL
	}
	return p, nil
}

// structure describes octets that have been made of what the URL stands for.
// RFC 5524 §3.2
func (l *linked) structure(u *imap.URL, p *piece, decoded bool) (*message.Part, error) {
	r, err := p.reader()
	if err != nil {
		return nil, err
	}
	var lines lineCounter
	if _, err := io.Copy(&lines, r); err != nil {
		return nil, err
	}
	var part message.Part
	switch {
	case l.part == nil: // a header, or the text of a message: plain to all that we know
		part = message.Part{Type: "text", Subtype: "plain"}
	case len(u.Section.Part) == 0: // the message as a whole
		part = message.Part{
			Type: "message", Subtype: "rfc822", Encoding: "8bit",
			Embedded: &l.source.message.Envelope, Parts: []message.Part{l.source.message.Root},
		}
	default:
		part = *l.part
		if decoded && part.Encoding != "7bit" && part.Encoding != "8bit" {
			part.Encoding = "binary"
		}
	}
	part.Body, part.End, part.Lines = 0, p.size(), int64(lines)
	return &part, nil
}

// A lineCounter counts the ends of lines.
type lineCounter int64

func (n *lineCounter) Write(b []byte) (int, error) {
	*n += lineCounter(bytes.Count(b, []byte{'\n'}))
	return len(b), nil
}

// size gives how many octets a piece has.
func (p *piece) size() int64 {
	if p.kind == pieceData {
		return int64(len(p.data))
	}
	return p.n
}

// reader gives a piece's octets as they are.
func (p *piece) reader() (io.Reader, error) {
	switch p.kind {
	case pieceData:
		return bytes.NewReader(p.data), nil
	case pieceFields:
		var b bytes.Buffer
		off, n := p.off, p.n
		p.choice.each(func(part []byte) {
			skip := min(off, int64(len(part)))
			off -= skip
			part = part[skip:]
			part = part[:min(int64(len(part)), n)]
			n -= int64(len(part))
			b.Write(part)
		})
		return &b, nil
	case pieceRange:
		return io.NewSectionReader(p.at, p.off, p.n), nil
	}
	r := p.open()
	if _, err := io.CopyN(io.Discard, r, p.off); err != nil {
		return nil, err
	}
	return io.LimitReader(r, p.n), nil
}

// catenate adds to a message what a URL stands for. Only one's own mailboxes,
// by a relative URL. RFC 4469 §3, RFC 5550 §5.7.1
func (c *conn) catenate(ctx context.Context, in *incoming, text string) error {
	bad := &imap.Refusal{Code: "BADURL " + string(imap.AppendURLText(nil, text)), Text: "There is no such message or part"} // RFC 4469 §4.1
	u, err := imap.ParseURL(text)
	if err != nil || u.Host != "" {
		return bad
	}
	var selected Mailbox
	if c.view != nil {
		selected = c.view.mailbox
	}
	l, err := follow(ctx, c.account, u, selected)
	if err == nil {
		defer l.close()
		err = c.copyURL(in, l, u)
	}
	if errors.Is(err, errBadURL) {
		return bad
	}
	return err
}

func (c *conn) copyURL(in *incoming, l *linked, u *imap.URL) error {
	p, err := l.octets(u, false)
	if err != nil {
		return err
	}
	if err := c.makeRoom(in, p.size()); err != nil {
		return err
	}
	r, err := p.reader()
	if err != nil {
		return err
	}
	n, err := io.Copy(in.body(), r)
	if err == nil && n != p.size() {
		err = io.ErrUnexpectedEOF
	}
	return err
}
