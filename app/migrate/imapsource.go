package migrate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap/imapclient"
	"waxwing/serve/adminapi"
)

// An imapSource is a live server. A connection that is lost is made again, and
// what was under way goes on where it stopped.
type imapSource struct {
	url      *url.URL
	user     string
	password string
	token    string
	tls      *tls.Config
	insecure bool

	client   *imapclient.Client
	notes    []string
	raw      string // the mailbox that is open
	validity mail.UIDValidity
}

// How often a connection is tried again without anything having come, and the
// first pause, which doubles.
const (
	maxRetries = 5
	firstPause = time.Second
)

// dialIMAP connects to a live server and logs in.
func dialIMAP(ctx context.Context, u *url.URL, o OpenOptions) (*imapSource, error) {
	s := &imapSource{url: u, user: u.User.Username(), token: o.Token, insecure: o.Insecure}
	if s.user == "" || u.Hostname() == "" {
		return nil, fmt.Errorf("say who you are at the other server: %s://user@host", u.Scheme)
	}
	if _, given := u.User.Password(); given {
		return nil, errors.New("a password on the command line can be read by others on this machine; use --password-file")
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("choose folders with --mailbox, not in the address")
	}
	s.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: o.Insecure} //nolint:gosec // asked for by --insecure
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", o.CA)
		}
	}
	if s.token == "" {
		var err error
		if s.password, err = o.Password(s.user, u.Hostname()); err != nil {
			return nil, err
		}
	}
	err := s.connect(ctx)
	if lost, ok := errors.AsType[*imapclient.Lost](err); ok {
		return nil, fmt.Errorf("cannot connect to %s: %w", hostPort(u), lost.Err)
	}
	return s, err
}

// connect makes the connection and logs in.
func (s *imapSource) connect(ctx context.Context) error {
	dial, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(dial, "tcp", hostPort(s.url))
	if err != nil {
		return &imapclient.Lost{Step: "connecting", Err: err}
	}
	if s.url.Scheme == "imaps" {
		t := tls.Client(nc, s.tls)
		if err := t.HandshakeContext(dial); err != nil {
			_ = nc.Close()
			return s.untrusted(err)
		}
		nc = t
	}
	c, err := imapclient.New(ctx, nc)
	if err != nil {
		_ = nc.Close()
		return err
	}
	if err := s.login(ctx, c); err != nil {
		c.Close()
		return err
	}
	s.client, s.raw = c, ""
	return nil
}

func (s *imapSource) login(ctx context.Context, c *imapclient.Client) error {
	if !c.TLS() {
		err := c.StartTLS(ctx, s.tls)
		if err != nil && (!s.insecure || !c.Usable()) {
			var refused *imapclient.Refusal
			if errors.As(err, &refused) {
				return fmt.Errorf("%s offers no TLS, so that everybody on the way could read the password; use imaps://, or --insecure", s.url.Host)
			}
			return s.untrusted(err)
		}
	}
	if s.token != "" {
		return c.LoginToken(ctx, s.user, s.token)
	}
	return c.Login(ctx, s.user, s.password)
}

// untrusted says what to do about a certificate.
func (s *imapSource) untrusted(err error) error {
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) {
		return fmt.Errorf("the certificate of %s is not trusted: %w; name the authority's with --ca, or use --insecure", s.url.Host, bad.Err)
	}
	var lost *imapclient.Lost
	if _, alert := errors.AsType[tls.AlertError](err); err == nil || alert || errors.As(err, &lost) {
		return err
	}
	if _, ours := errors.AsType[*imapclient.Refusal](err); ours {
		return err
	}
	return &imapclient.Lost{Step: "the beginning of TLS", Err: err}
}

func (s *imapSource) Notes() []string { return s.notes }

func (s *imapSource) Close() error {
	if s.client != nil {
		s.client.Logout(context.Background())
	}
	return nil
}

// again runs fn, which may find the connection lost, and connects again as
// long as there is hope. fn tells whether it has got on.
func (s *imapSource) again(ctx context.Context, fn func() (progress bool, err error)) error {
	pause, left := firstPause, maxRetries
	for {
		progress, err := fn()
		var lost *imapclient.Lost
		if err == nil || !errors.As(err, &lost) || ctx.Err() != nil {
			return err
		}
		if progress {
			pause, left = firstPause, maxRetries
		}
		for {
			if left--; left < 0 {
				return err
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return ctx.Err()
			}
			pause *= 2
			s.client.Close()
			if failed := s.connect(ctx); failed == nil {
				break
			} else if !errors.As(failed, &lost) {
				return failed
			}
		}
	}
}

func (s *imapSource) Folders(ctx context.Context) ([]Folder, error) {
	var listed []imapclient.Listed
	err := s.again(ctx, func() (bool, error) {
		var err error
		listed, err = s.client.List(ctx)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	gmail := s.client.Has("X-GM-EXT-1")
	var list []Folder
	for _, l := range listed {
		if l.NoSelect {
			continue
		}
		levels := l.Levels
		if len(levels) > 1 && (levels[0] == "[Gmail]" || levels[0] == "[Google Mail]") {
			levels = levels[1:]
		}
		f := Folder{Name: levelsName(levels), Role: l.Role, Subscribed: &l.Subscribed, path: l.Raw}
		switch {
		case l.Role == mail.RoleFlagged, l.Role == mail.RoleImportant:
			f.Virtual = true
		case gmail: // All Mail has it all, each message once, with its labels
			f.Virtual = l.Role != mail.RoleAll && l.Role != mail.RoleJunk && l.Role != mail.RoleTrash
			if f.Virtual {
				continue
			}
		case l.Role == mail.RoleAll:
			f.Virtual = true
		}
		list = append(list, f)
	}
	giveRoles(list)
	sortFolders(list)
	return list, nil
}

// examine opens a mailbox, once in a connection.
func (s *imapSource) examine(ctx context.Context, raw string) error {
	if s.raw == raw {
		return nil
	}
	s.raw = ""
	e, err := s.client.Examine(ctx, raw)
	if err != nil {
		return err
	}
	s.raw, s.validity = raw, e.UIDValidity
	return nil
}

func (s *imapSource) List(ctx context.Context, f *Folder) ([]Message, error) {
	var list []Message
	err := s.again(ctx, func() (bool, error) {
		list = list[:0]
		s.raw = "" // the number of messages must be known again
		if err := s.examine(ctx, f.path); err != nil {
			return false, err
		}
		return false, s.client.Listing(ctx, func(m *imapclient.Fetched) error {
			list = append(list, listed(m))
			return nil
		})
	})
	f.ID = sourceID("imap", s.user, strings.ToLower(s.url.Hostname()), f.path, fmt.Sprint(s.validity))
	// A server may tell of a message again when its flags change meanwhile.
	slices.SortStableFunc(list, func(a, b Message) int { return int(a.at - b.at) })
	list = slices.CompactFunc(list, func(a, b Message) bool { return a.at == b.at })
	return list, err
}

func listed(f *imapclient.Fetched) Message {
	var words []string
	for _, w := range f.Flags {
		if !strings.HasPrefix(w, `\`) {
			words = append(words, w)
			continue
		}
		if _, _, err := adminapi.ParseFlags([]string{w}); err == nil { // not \Recent
			words = append(words, w)
		}
	}
	flags, keywords, _ := adminapi.ParseFlags(words)
	if f.Labels != nil && slices.ContainsFunc(f.Labels, func(l string) bool { return strings.EqualFold(l, `\Starred`) }) {
		flags |= mail.Flagged
	}
	return Message{
		Item: fmt.Sprintf("%08x", f.UID), Flags: flags, Keywords: keywords, Date: f.Internal, Size: f.Size, Labels: f.Labels, at: int64(f.UID),
	}
}

// How much is asked for in one command; larger messages go alone.
const (
	groupCount  = 200
	groupOctets = 2 << 20
)

// groups cuts a list to what is fetched together.
func groups(list []Message) [][]mail.UID {
	var all [][]mail.UID
	var group []mail.UID
	size := int64(0)
	for _, m := range list {
		if len(group) > 0 && (len(group) >= groupCount || size+m.Size > groupOctets) {
			all, group, size = append(all, group), nil, 0
		}
		group, size = append(group, mail.UID(m.at)), size+m.Size
	}
	if len(group) > 0 {
		all = append(all, group)
	}
	return all
}

// A pull is one Fetch under way.
type pull struct {
	list  []Message
	index map[mail.UID]int
	done  []bool
	fn    func(int, Text, error) error
	own   error // what fn has said
}

func (s *imapSource) Fetch(ctx context.Context, f *Folder, list []Message, fn func(int, Text, error) error) error {
	p := &pull{list: list, index: make(map[mail.UID]int, len(list)), done: make([]bool, len(list)), fn: fn}
	for i, m := range list {
		p.index[mail.UID(m.at)] = i
	}
	validity := s.validity
	retried := false
	return s.again(ctx, func() (bool, error) {
		if err := s.examine(ctx, f.path); err != nil {
			return false, err
		}
		if s.validity != validity {
			return false, errors.New("the server has numbered its messages anew meanwhile; run the import again")
		}
		var left []Message
		for i, m := range list {
			if !p.done[i] {
				left = append(left, m)
			}
		}
		before := len(left)
		parts := groups(left)
		if retried { // a message may be what the server breaks at
			parts = nil
			for _, m := range left[:min(len(left), groupCount)] {
				parts = append(parts, []mail.UID{mail.UID(m.at)})
			}
			parts = append(parts, groups(left[min(len(left), groupCount):])...)
		}
		retried = true
		err := s.pull(ctx, p, parts)
		after := 0
		for _, d := range p.done {
			if !d {
				after++
			}
		}
		if p.own != nil {
			return false, p.own
		}
		return after < before, err
	})
}

// pull fetches groups. A group that is refused is asked for one by one, and
// what is refused then is a failure of that message.
func (s *imapSource) pull(ctx context.Context, p *pull, parts [][]mail.UID) error {
	var single [][]mail.UID
	err := s.client.Messages(ctx, parts, p.take, func(group []mail.UID, r *imapclient.Refusal) {
		for _, uid := range group {
			i := p.index[uid]
			switch {
			case p.done[i] || p.own != nil:
			case len(group) > 1:
				single = append(single, []mail.UID{uid})
			default:
				p.done[i] = true
				p.own = p.fn(i, Text{}, r)
			}
		}
	})
	if err != nil || p.own != nil || len(single) == 0 {
		return err
	}
	return s.pull(ctx, p, single)
}

// take spools one message, so that a connection that is lost in the middle of
// it is no trouble of those who get it.
func (p *pull) take(uid mail.UID, size int64, text io.Reader) error {
	i, wanted := p.index[uid]
	if !wanted || p.done[i] {
		return nil
	}
	var sp spool
	defer sp.close()
	if _, err := io.Copy(&sp, text); err != nil {
		return err
	}
	p.done[i] = true
	date := p.list[i].Date
	if date.IsZero() {
		date = time.Now()
	}
	p.own = p.fn(i, Text{Reader: sp.text(), Size: sp.size, Date: date}, nil)
	return p.own
}
