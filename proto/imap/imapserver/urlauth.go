package imapserver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"waxwing/proto/imap"
)

// internalMechanism is the one mechanism that authorizes URLs. RFC 4467 §2.4.1
const internalMechanism = "INTERNAL"

// urlMech is the response code that says so.
const urlMech = "URLMECH " + internalMechanism

// urlToken calculates a URL's token: which algorithm it is, and the result.
// RFC 4467 §2.4.1, §5
func urlToken(key []byte, rump string) string {
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(rump))
	return "01" + hex.EncodeToString(sum.Sum(nil))
}

// resetKey is RESETKEY. RFC 4467 §7
func (c *conn) resetKey(ctx context.Context, cmd imap.ResetKey) (reply, error) {
	if cmd.Mailbox == "" {
		return reply{text: "All keys removed"}, c.account.ForgetAccessKeys(ctx)
	}
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	for _, m := range cmd.Mechanisms {
		if m != internalMechanism {
			return reply{}, &imap.Refusal{Code: imap.CodeCannot, Text: "Mechanism is not known"}
		}
	}
	if _, err := c.account.AccessKey(ctx, name, true, true); err != nil {
		return reply{}, err
	}
	if c.view != nil { // the tagged answer tells
		c.view.keyResets = c.view.mailbox.KeyResets()
	}
	return reply{code: urlMech, text: "Key has been changed"}, nil
}

// tellKeyReset tells that another session has changed the key of the selected
// mailbox. RFC 4467 §7
func (c *conn) tellKeyReset() {
	if n := c.view.mailbox.KeyResets(); n != c.view.keyResets {
		c.view.keyResets = n
		c.remark("OK", urlMech, "Key has been changed")
	}
}

// genURLAuth is GENURLAUTH. RFC 4467 §7
func (c *conn) genURLAuth(ctx context.Context, cmd imap.GenURLAuth) (reply, error) {
	tokens := make([]string, len(cmd.URLs))
	for i, r := range cmd.URLs {
		u, err := imap.ParseURL(r.URL)
		switch {
		case err != nil:
			return reply{}, err
		case r.Mechanism != internalMechanism:
			return reply{}, &imap.SyntaxError{Text: "Mechanism is not known"}
		case u.User == "":
			return reply{}, &imap.SyntaxError{Text: "Missing owner in URL"}
		case u.Access == "":
			return reply{}, &imap.SyntaxError{Text: "Missing access identifier in URL"}
		case u.Mechanism != "":
			return reply{}, &imap.SyntaxError{Text: "URL has been authorized"}
		}
		if self, err := c.account.Self(ctx, u.User); err != nil || !self {
			return reply{}, orSyntax(err, "URL is not of this user")
		}
		key, err := c.account.AccessKey(ctx, u.Mailbox, true, false)
		if err != nil {
			return reply{}, orSyntax(err, "There is no such mailbox")
		}
		tokens[i] = urlToken(key, u.Rump)
	}
	c.out.begin()
	c.out.b = append(c.out.b, "* GENURLAUTH"...)
	for i, r := range cmd.URLs {
		c.out.b = imap.AppendString(append(c.out.b, ' '), r.URL+":"+internalMechanism+":"+tokens[i], false)
	}
	c.out.b = append(c.out.b, '\r', '\n')
	return reply{}, nil
}

// orSyntax makes of a refusal, or of no error, what the client has done wrong.
func orSyntax(err error, text string) error {
	if _, refused := errors.AsType[*imap.Refusal](err); err == nil || refused {
		return &imap.SyntaxError{Text: text}
	}
	return err
}

// An urlReader finds what authorized URLs stand for.
type urlReader struct {
	self Account // of who reads
	// submits says that it reads for a submission, and for whom.
	submits func(user string) bool
	now     time.Time
	owners  map[string]Account
}

func (r *urlReader) close() {
	for _, a := range r.owners {
		if a != r.self && a != nil {
			a.Close()
		}
	}
}

// owner gives the account that a URL is of; nil if there is none.
func (r *urlReader) owner(ctx context.Context, user string) (Account, error) {
	if a, known := r.owners[user]; known {
		return a, nil
	}
	if r.owners == nil {
		r.owners = map[string]Account{}
	}
	a := r.self
	if self, err := r.self.Self(ctx, user); err != nil {
		return nil, err
	} else if !self {
		if a, err = r.self.Other(ctx, user); err != nil {
			if _, refused := errors.AsType[*imap.Refusal](err); !refused {
				return nil, err
			}
			a = nil
		}
	}
	r.owners[user] = a
	return a, nil
}

// open follows a URL, if it is authorized; errBadURL if not. What takes long
// is done in any case, so that the time tells nothing. RFC 4467 §6, §7
func (r *urlReader) open(ctx context.Context, text string) (*linked, *imap.URL, error) {
	u, err := imap.ParseURL(text)
	if err != nil || u.Mechanism != internalMechanism || u.User == "" {
		return nil, nil, errBadURL
	}
	owner, err := r.owner(ctx, u.User)
	if err != nil {
		return nil, nil, err
	}
	var key []byte
	if owner != nil {
		if key, err = owner.AccessKey(ctx, u.Mailbox, false, false); err != nil {
			if _, refused := errors.AsType[*imap.Refusal](err); !refused {
				return nil, nil, err
			}
		}
	}
	known := key != nil
	if !known {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
	}
	fits := hmac.Equal([]byte(urlToken(key, u.Rump)), bytes.ToLower([]byte(u.Token)))
	allowed, err := r.allowed(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	if !known || !fits || !allowed || !u.Expire.IsZero() && r.now.After(u.Expire) {
		return nil, nil, errBadURL
	}
	l, err := follow(ctx, owner, u, nil)
	return l, u, err
}

// allowed tells whether a URL's access identifier is for who reads.
// RFC 4467 §3
func (r *urlReader) allowed(ctx context.Context, u *imap.URL) (bool, error) {
	if user, is := u.AccessUser("user+"); is {
		return r.self.Self(ctx, user)
	}
	if user, is := u.AccessUser("submit+"); is {
		return r.submits != nil && r.submits(user), nil
	}
	return true, nil // "authuser" and "anonymous": there is a login
}

// urlFetch is URLFETCH. RFC 4467 §7, RFC 5524 §3
func (c *conn) urlFetch(ctx context.Context, cmd imap.URLFetch) (reply, error) {
	r := &urlReader{self: c.account, now: time.Now()}
	defer r.close()
	for i := range cmd.URLs {
		if err := c.fetchURL(ctx, r, &cmd.URLs[i]); err != nil {
			return reply{}, err
		}
		if err := c.out.room(); err != nil {
			return reply{}, lost(err)
		}
	}
	return reply{}, nil
}

// fetchURL answers for one URL.
func (c *conn) fetchURL(ctx context.Context, r *urlReader, f *imap.FetchURL) error {
	l, u, err := r.open(ctx, f.URL)
	if err == nil {
		defer l.close()
	}
	var p piece
	if err == nil { // a part that is not there has no structure either. RFC 5524 §4
		p, err = l.octets(u, f.Binary)
	}
	unknown := false
	if refusal, ok := errors.AsType[*imap.Refusal](err); ok && refusal.Code == imap.CodeUnknownCTE {
		unknown, err = true, nil // RFC 5524 §3.2
	}
	if err != nil && !errors.Is(err, errBadURL) {
		return err
	}
	c.out.begin()
	c.out.b = imap.AppendString(append(c.out.b, "* URLFETCH "...), f.URL, false)
	switch {
	case err != nil:
		c.out.b = append(c.out.b, " NIL"...)
	case !f.Body && !f.Binary && !f.Structure:
		c.out.b = append(c.out.b, ' ')
		err = p.write(&c.out)
	default:
		err = c.tellURL(f, l, u, &p, unknown)
	}
	if err != nil && !errors.Is(err, errBadURL) {
		return lost(err) // a literal has been cut short
	}
	c.out.b = append(c.out.b, '\r', '\n')
	return nil
}

// tellURL writes what was asked of a URL, each in parentheses. RFC 5524 §3.2
func (c *conn) tellURL(f *imap.FetchURL, l *linked, u *imap.URL, p *piece, unknown bool) error {
	if f.Structure {
		part := l.part
		if !unknown {
			var err error
			if part, err = l.structure(u, p, f.Binary); err != nil {
				return err
			}
		}
		c.out.b = append(c.out.b, " (BODYPARTSTRUCTURE "...)
		c.out.b = append(imap.AppendBodyStructure(c.out.b, part, true, c.utf8), ')')
	}
	name := " (BODY "
	switch {
	case f.Binary:
		name = " (BINARY "
	case !f.Body:
		return nil
	}
	c.out.b = append(c.out.b, name...)
	if unknown {
		c.out.b = append(c.out.b, "NIL"...)
	} else if err := p.write(&c.out); err != nil {
		return err
	}
	c.out.b = append(c.out.b, ')')
	return nil
}

// URLData is what an authorized URL stands for.
type URLData struct {
	io.Reader
	Size   int64
	linked *linked
	reader *urlReader
}

// Close gives it up.
func (d *URLData) Close() error {
	d.linked.close()
	d.reader.close()
	return nil
}

// ErrURL says that a URL stands for nothing that who asks may have.
var ErrURL = errBadURL

// OpenURL finds what an authorized URL stands for, for a submission: reader is
// the account of who submits, and submits tells whether a name is theirs. It
// fails with ErrURL where the URL is worth nothing. RFC 4468 §3.3
func OpenURL(ctx context.Context, reader Account, url string, submits func(user string) bool, now time.Time) (*URLData, error) {
	r := &urlReader{self: reader, submits: submits, now: now}
	l, u, err := r.open(ctx, url)
	if err != nil {
		r.close()
		return nil, err
	}
	d := &URLData{linked: l, reader: r}
	p, err := l.octets(u, false)
	if err == nil {
		d.Size = p.size()
		d.Reader, err = p.reader()
	}
	if err != nil {
		_ = d.Close() // it only reads
		return nil, err
	}
	return d, nil
}
