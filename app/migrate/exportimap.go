package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap/imapclient"
	"waxwing/serve/adminapi"
	"waxwing/store/mailbox"
)

// How an account's mail gets to a live server.
//
// Nothing is remembered of it here: what the server has is asked for each time,
// and a message is there if one of the same date and size is. Where that leaves
// a doubt (several of the same date and size, or a server that changes
// messages a little) the headers decide. So whatever was under way when a
// connection was lost is seen afterwards, and nothing goes there twice.

// A Server is a live server that mail goes to.
type Server struct {
	*imapSource
	listed []imapclient.Listed
	of     *imapclient.Client // whose list that is
}

// OpenServer connects to a live server: imap://user@host or imaps://user@host.
func OpenServer(ctx context.Context, place string, o OpenOptions) (*Server, error) {
	u, err := serverURL(place)
	if err != nil {
		return nil, err
	}
	s, err := dialIMAP(ctx, u, o)
	if err != nil {
		return nil, err
	}
	return &Server{imapSource: s}, nil
}

// mailbox gives the server's name for a mailbox, which is made if there is
// none: one of the same use goes before one of the same name.
func (s *Server) mailbox(ctx context.Context, m adminapi.Mailbox) (string, error) {
	if s.of != s.client {
		listed, err := s.client.List(ctx)
		if err != nil {
			return "", err
		}
		s.listed, s.of = listed, s.client
	}
	levels := strings.Split(m.Name, mailbox.Separator)
	raw, plain := s.client.Name(levels), s.client.Name(plainLevels(levels))
	if m.Name == mailbox.InboxName {
		return raw, nil
	}
	exists := map[string]bool{}
	for _, l := range s.listed {
		if m.Role != "" && string(l.Role) == m.Role && !l.NoSelect {
			return l.Raw, nil
		}
		exists[l.Raw] = !l.NoSelect
	}
	switch {
	case exists[raw]:
		return raw, nil
	case exists[plain]:
		return plain, nil
	}
	err := s.client.Create(ctx, raw)
	if _, refused := errors.AsType[*imapclient.Refusal](err); refused && plain != raw {
		if s.client.Create(ctx, plain) == nil { // the first refusal says more
			raw, err = plain, nil
		}
	}
	if err != nil {
		return "", err
	}
	s.listed = append(s.listed, imapclient.Listed{Raw: raw})
	if m.Subscribed {
		var refused *imapclient.Refusal
		if err := s.client.Subscribe(ctx, raw); err != nil && !errors.As(err, &refused) {
			return "", err
		}
	}
	return raw, nil
}

// plainLevels gives a name without what some servers cannot have in theirs,
// such as a dot where a level is a part of a file's name.
func plainLevels(levels []string) []string {
	plain := make([]string, len(levels))
	for i, level := range levels {
		plain[i] = strings.Map(func(r rune) rune {
			if r < ' ' || strings.ContainsRune(`.~%*\"#&/`, r) {
				return '_'
			}
			return r
		}, level)
	}
	return plain
}

// toServer exports mailboxes to a live server.
func (ex *Export) toServer(ctx context.Context, chosen []adminapi.Mailbox) error {
	for _, m := range chosen {
		o := &outgoing{ex: ex, m: m, sent: map[uint32]bool{}, refused: map[uint32]bool{}}
		err := ex.Server.again(ctx, func() (bool, error) {
			before := len(o.sent) + len(o.refused)
			err := o.run(ctx)
			return len(o.sent)+len(o.refused) > before, err
		})
		ex.summary.There += o.there
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		ex.summary.Mailboxes++
	}
	return nil
}

// An outgoing is one mailbox on its way to a server.
type outgoing struct {
	ex      *Export
	m       adminapi.Mailbox
	sent    map[uint32]bool // UIDs of what the server has said that it has
	refused map[uint32]bool // and of what it does not want

	// Of one connection.
	raw       string
	permanent []string
	there     int
	doubtful  map[string][]*remote // by key, of those not known to be ours
	batch     []outMessage
	octets    int64
}

// A remote is a message that the server has.
type remote struct {
	uid   mail.UID
	flags []string
	at    moment
	ours  bool // one of ours is known to be this one
}

// A moment is what tells most messages apart.
type moment struct{ date, size int64 }

// An outMessage waits to be appended.
type outMessage struct {
	entry adminapi.Entry
	text  *spool
	traits
}

// What one command takes at most, where it takes several.
const (
	appendCount  = 50
	appendOctets = 1 << 20
)

// run brings the server's mailbox up to ours. After a lost connection it runs
// again.
func (o *outgoing) run(ctx context.Context) (err error) {
	defer o.drop()
	c := o.ex.Server.client
	o.there, o.doubtful = 0, map[string][]*remote{}
	if o.raw, err = o.ex.Server.mailbox(ctx, o.m); err != nil {
		return err
	}
	opened, err := c.Select(ctx, o.raw)
	if err != nil {
		return err
	}
	o.permanent = opened.Permanent
	theirs := map[moment][]*remote{}
	err = c.Listing(ctx, func(f *imapclient.Fetched) error {
		r := &remote{uid: f.UID, flags: f.Flags, at: moment{f.Internal.Unix(), f.Size}}
		theirs[r.at] = append(theirs[r.at], r)
		return nil
	})
	if err != nil {
		return err
	}
	missing, err := o.compare(ctx, theirs)
	if err == nil {
		err = o.learn(ctx, missing, theirs)
	}
	if err == nil {
		err = o.send(ctx, missing)
	}
	return err
}

// compare gives the messages that the server is not known to have, and adds to
// the flags of the others.
func (o *outgoing) compare(ctx context.Context, theirs map[moment][]*remote) (missing []adminapi.Entry, err error) {
	ours := map[moment][]adminapi.Entry{}
	var order []moment
	for e, err := range o.ex.Client.Entries(ctx, o.ex.Account, o.m.ID) {
		if err != nil {
			return nil, err
		}
		at := moment{e.Internal, e.Size}
		if ours[at] == nil {
			order = append(order, at)
		}
		ours[at] = append(ours[at], e)
	}
	lack := map[string][]mail.UID{} // flags, by what they are
	for _, at := range order {
		list, there := ours[at], theirs[at]
		if len(there) < len(list) {
			for _, e := range list {
				// One that was sent may be what the server has of them.
				if !o.refused[e.UID] && (len(there) > 0 || !o.sent[e.UID]) {
					missing = append(missing, e)
				}
			}
			continue
		}
		for i, e := range list {
			there[i].ours = true
			if !o.sent[e.UID] {
				o.there++
			}
			if add := o.lacking(e.Flags, there[i].flags); add != "" {
				lack[add] = append(lack[add], there[i].uid)
			}
		}
	}
	return missing, o.addFlags(ctx, lack)
}

// lacking gives the flags that one of ours has, and the server's has not and
// could have. None are taken away: who has changed them is not known.
func (o *outgoing) lacking(ours, theirs []string) string {
	var add []string
	for _, f := range o.allowed(ours) {
		if !slices.ContainsFunc(theirs, func(t string) bool { return strings.EqualFold(f, t) }) {
			add = append(add, f)
		}
	}
	slices.Sort(add)
	return strings.Join(add, " ")
}

// allowed leaves out keywords that the server cannot keep.
func (o *outgoing) allowed(flags []string) []string {
	if o.permanent == nil || slices.Contains(o.permanent, `\*`) {
		return flags
	}
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool {
		return !slices.ContainsFunc(o.permanent, func(p string) bool { return strings.EqualFold(f, p) })
	})
}

func (o *outgoing) addFlags(ctx context.Context, lack map[string][]mail.UID) error {
	for flags, uids := range lack {
		slices.Sort(uids)
		for part := range slices.Chunk(uids, 1000) {
			if err := o.ex.Server.client.AddFlags(ctx, part, strings.Fields(flags)); err != nil {
				return err
			}
			o.ex.summary.Flags += len(part)
		}
	}
	return nil
}

// learn asks more about those of the server's messages that may be one of the
// missing: of the same date.
func (o *outgoing) learn(ctx context.Context, missing []adminapi.Entry, theirs map[moment][]*remote) error {
	dates := map[int64]bool{}
	for _, e := range missing {
		dates[e.Internal] = true
	}
	byUID := map[mail.UID]*remote{}
	var uids []mail.UID
	for at, list := range theirs {
		for _, r := range list {
			if !r.ours && dates[at.date] {
				byUID[r.uid], uids = r, append(uids, r.uid)
			}
		}
	}
	slices.Sort(uids)
	for part := range slices.Chunk(uids, 1000) {
		err := o.ex.Server.client.Heads(ctx, part, func(uid mail.UID, fields []byte) error {
			if r := byUID[uid]; r != nil {
				k := keyOf(r.at.date, fields)
				o.doubtful[k] = append(o.doubtful[k], r)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// key names what has this date, and this Message-ID; without one, these From,
// Subject and Date.
func keyOf(date int64, header []byte) string {
	var id, rest string
	for f := range message.Fields(header) {
		switch text := strings.Join(strings.Fields(f.Text()), " "); {
		case f.Is("Message-ID"):
			id = text
		case f.Is("From"), f.Is("Subject"), f.Is("Date"):
			rest += "\n" + strings.ToLower(string(f.Name)) + ":" + text
		}
	}
	if id != "" {
		rest = ""
	}
	return fmt.Sprint(date, " ", id, rest)
}

// send appends what is missing.
func (o *outgoing) send(ctx context.Context, missing []adminapi.Entry) error {
	done := 0
	for part := range slices.Chunk(missing, 1000) {
		uids := make([]uint32, len(part))
		for i, e := range part {
			uids[i] = e.UID
		}
		err := o.ex.Client.Messages(ctx, o.ex.Account, o.m.ID, uids, func(e adminapi.Entry, r io.Reader) error {
			if done++; done%100 == 0 {
				o.ex.tell(o.m, done, len(missing))
			}
			if e.Failed != "" {
				o.fail(e, e.Failed)
				return nil
			}
			return o.take(ctx, e, r)
		})
		if err != nil {
			return err
		}
	}
	err := o.flush(ctx)
	o.ex.tell(o.m, done, len(missing))
	return err
}

// take has a message wait for the others of its batch, unless it turns out to
// be there.
func (o *outgoing) take(ctx context.Context, e adminapi.Entry, r io.Reader) error {
	out := outMessage{entry: e, text: &spool{}}
	if _, err := io.Copy(io.MultiWriter(out.text, &out.traits), r); err != nil {
		out.text.close()
		return err
	}
	out.end()
	k := keyOf(e.Internal, out.header)
	if known := o.doubtful[k]; len(known) > 0 {
		o.doubtful[k] = known[1:]
		out.text.close()
		if !o.sent[e.UID] {
			o.there++
		}
		if add := o.lacking(e.Flags, known[0].flags); add != "" {
			return o.addFlags(ctx, map[string][]mail.UID{add: {known[0].uid}})
		}
		return nil
	}
	o.batch, o.octets = append(o.batch, out), o.octets+out.text.size
	if o.ex.Server.client.MultiAppend() && len(o.batch) < appendCount && o.octets < appendOctets {
		return nil
	}
	return o.flush(ctx)
}

// drop forgets the batch.
func (o *outgoing) drop() {
	for _, b := range o.batch {
		b.text.close()
	}
	o.batch, o.octets = nil, 0
}

// flush appends the batch. If the server minds one of them they go one by one.
func (o *outgoing) flush(ctx context.Context) error {
	if len(o.batch) == 0 {
		return nil
	}
	defer o.drop()
	err := o.append(ctx, o.batch)
	var refused *imapclient.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	for i := range o.batch {
		one := o.batch[i : i+1]
		if len(o.batch) > 1 {
			err = o.append(ctx, one)
		}
		switch {
		case err == nil:
		case !errors.As(err, &refused):
			return err
		case refused.Code == "OVERQUOTA": // RFC 9208 §4.3
			return fmt.Errorf("there is no room left: %w", err)
		default:
			o.fail(one[0].entry, refused.Error())
		}
	}
	return nil
}

func (o *outgoing) append(ctx context.Context, list []outMessage) error {
	messages := make([]imapclient.Appended, len(list))
	for i, m := range list {
		messages[i] = imapclient.Appended{
			Flags: o.allowed(m.entry.Flags), Internal: time.Unix(m.entry.Internal, 0).UTC(),
			Size: m.text.size, Text: m.text.text(), UTF8: m.utf8, Binary: m.binary,
		}
	}
	if err := o.ex.Server.client.Append(ctx, o.raw, messages...); err != nil {
		return err
	}
	for _, m := range list {
		o.sent[m.entry.UID] = true
		o.ex.summary.Exported++
		o.ex.summary.Octets += m.text.size
	}
	return nil
}

// fail notes a message that cannot be read, or that the server does not take.
func (o *outgoing) fail(e adminapi.Entry, reason string) {
	o.refused[e.UID] = true
	o.ex.fail(o.m, e, reason)
}

// traits is what has to be known of a message before it is appended; it is
// written to.
type traits struct {
	header []byte // its beginning, up to maxHeader
	utf8   bool   // the header has octets above ASCII
	binary bool   // there is a NUL
}

// maxHeader is how much is looked at for a Message-ID.
const maxHeader = 256 << 10

func (t *traits) Write(b []byte) (int, error) {
	t.header = append(t.header, b[:min(len(b), maxHeader-len(t.header))]...)
	t.binary = t.binary || bytes.IndexByte(b, 0) >= 0
	return len(b), nil
}

// end cuts the body off the header.
func (t *traits) end() {
	if i := bytes.Index(t.header, []byte("\r\n\r\n")); i >= 0 {
		t.header = t.header[:i+2]
	}
	t.header = bytes.Clone(t.header)
	t.utf8 = bytes.ContainsFunc(t.header, func(r rune) bool { return r > '~' })
}
