package deliver

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/store/reports"
	"waxwing/store/sealkeys"
	"waxwing/store/trace"
)

// parallel is how many accounts a message is written to at once.
const parallel = 16

// A Deliverer knows where mail goes. It is safe for concurrent use.
type Deliverer struct {
	directory *directory.Directory
	mailboxes *mailbox.Store
	queue     *outqueue.Queue
	trace     trace.Recorder
	blobs     blob.Store
	hostname  string
	elsewhere func(domain string, ours bool) bool
	seals     *sealkeys.Store
	srs       bool
	verp      []string
	keys      KeySource
	reports   *reports.Store
	reportsTo []string
	log       *slog.Logger
}

// Options say how a Deliverer works.
type Options struct {
	// Hostname is what we call ourselves in notifications.
	Hostname string
	// Elsewhere tells of a domain, which may be one of ours, whether another
	// store takes its mail: it goes into the outqueue then, for the relay to
	// bring there. Nil for none.
	Elsewhere func(domain string, ours bool) bool
	// Seals has the keys for the addresses that we rewrite; nil rewrites none,
	// and knows none that comes back.
	Seals *sealkeys.Store
	// SRS has senders rewritten in what is forwarded to others.
	SRS bool
	// VERP are domains of ours from which each recipient elsewhere sees a
	// sender of its own.
	VERP []string
	// Keys has the keys that sign for our domains; nil signs nothing.
	Keys KeySource
	// Reports takes a copy of mail to the local parts in ReportsTo, in all
	// domains of ours: others report there, and those addresses exist without
	// anybody behind them. Nil takes none.
	Reports   *reports.Store
	ReportsTo []string
	// Trace is told what becomes of messages; nil for nobody.
	Trace trace.Recorder
	Log   *slog.Logger
}

// New makes a Deliverer.
func New(d *directory.Directory, m *mailbox.Store, q *outqueue.Queue, blobs blob.Store, o Options) *Deliverer {
	if o.Elsewhere == nil {
		o.Elsewhere = func(string, bool) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = trace.Discard{}
	}
	return &Deliverer{trace: o.Trace, directory: d, mailboxes: m, queue: q, blobs: blobs, hostname: o.Hostname, elsewhere: o.Elsewhere, seals: o.Seals, srs: o.SRS, verp: o.VERP, keys: o.Keys, reports: o.Reports, reportsTo: o.ReportsTo, log: o.Log}
}

// A Recipient is one whose way is known.
type Recipient struct {
	mail.Recipient
	// Route is empty for a recipient who is not ours.
	Route directory.Route
	// Elsewhere says that another store takes the mail of the domain.
	Elsewhere bool
	// Reports says that others report about the domain to this address, which
	// need not lead to anybody besides.
	Reports bool
}

// Local tells whether the recipient's domain is ours.
func (r Recipient) Local() bool { return len(r.Route.Accounts)+len(r.Route.Forwards) > 0 || r.Reports }

// Resolve finds a recipient's way. A domain that is not ours gives a
// Recipient that is not Local; a user who does not exist, a *smtp.Refusal. A
// user without a domain is one of ours, found as at a login.
func (d *Deliverer) Resolve(ctx context.Context, to mail.Recipient) (Recipient, error) {
	if to.Address.Domain == "" {
		d.complete(ctx, &to.Address)
	}
	if d.elsewhere(to.Address.Domain, false) {
		return Recipient{Recipient: to, Elsewhere: true}, nil
	}
	if r, ok, err := d.comesBack(ctx, time.Now(), to); ok || err != nil {
		return r, err
	}
	route, err := d.directory.Resolve(ctx, to.Address)
	switch {
	case err == nil:
		return d.onward(Recipient{Recipient: to, Route: route, Reports: d.isForReports(to.Address)}), nil
	case errors.Is(err, directory.ErrNoUser) && d.isForReports(to.Address):
		return Recipient{Recipient: to, Reports: true}, nil
	case errors.Is(err, directory.ErrNotLocal) && to.Address.Domain != "":
		return Recipient{Recipient: to}, nil
	case errors.Is(err, directory.ErrNoUser), errors.Is(err, directory.ErrNotLocal):
		return Recipient{}, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user here"}
	case errors.Is(err, directory.ErrTooMany), errors.Is(err, directory.ErrLoop):
		return Recipient{}, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 4, 6}, Text: "this address leads in circles", Err: err}
	}
	return Recipient{}, smtp.Trouble("cannot look up the recipient just now", err)
}

// onward sends what goes to accounts of ours whose mail another store takes on
// its way there.
func (d *Deliverer) onward(r Recipient) Recipient {
	var stay []directory.Target
	for _, target := range r.Route.Accounts {
		if !d.elsewhere(target.Address.Domain, true) {
			stay = append(stay, target)
			continue
		}
		if !r.expands() {
			return Recipient{Recipient: r.Recipient, Elsewhere: true} // as it was written, with its detail
		}
		r.Route.Forwards = slices.Concat(r.Route.Forwards, []mail.Address{target.Address})
	}
	r.Route.Accounts = stay
	return r
}

// complete gives a bare local part the domain of its account, if there is one
// such account. The bare postmaster needs none.
func (d *Deliverer) complete(ctx context.Context, a *mail.Address) {
	if strings.EqualFold(a.Local, "postmaster") {
		return
	}
	user, detail, tagged := strings.Cut(a.Local, "+")
	account, err := d.directory.Login(ctx, user)
	if err != nil {
		return
	}
	*a = account.Address
	if tagged {
		a.Local += "+" + detail
	}
}

// IsLocal tells whether a domain is ours.
func (d *Deliverer) IsLocal(ctx context.Context, domain string) (bool, error) {
	return d.directory.IsLocal(ctx, domain)
}

// Postmaster gives the address that notifications for somebody come from: one
// that answers reach. The host's name, which need not be a domain of ours,
// stands in only if there is none. RFC 3464 §2, RFC 5321 §4.5.1
func (d *Deliverer) Postmaster(ctx context.Context, to mail.Address, hostname string) mail.Address {
	domain := hostname
	if local, err := d.directory.IsLocal(ctx, to.Domain); err == nil && local {
		domain = to.Domain
	} else if ours, err := d.directory.SomeDomains(ctx); err == nil && len(ours) > 0 && !slices.Contains(ours, hostname) {
		domain = ours[0]
	}
	return mail.Address{Local: "postmaster", Domain: domain}
}

// Deliver takes the arrival to all recipients. When it returns nil everything
// is durable: in a mailbox, or in the outqueue. A *smtp.Refusal says that
// nobody has got it (or, after trouble with the disk, that somebody may have
// and the sender has to come again).
//
// Some recipients may fail where others succeed (over quota, say). SMTP has
// one reply for all, so their part goes to the outqueue, which tries again
// and in the end tells the sender.
func (d *Deliverer) Deliver(ctx context.Context, now time.Time, a *Arrival, env mail.Envelope, trace []byte, to []Recipient) error {
	d.received(ctx, now, a, env, to)
	if env.HoldUntil.After(now) {
		return d.hold(ctx, now, a, env, trace, to)
	}
	plan := planFor(to)
	if err := plan.breakLoops(a); err != nil {
		return err
	}
	if err := d.takeReports(ctx, now, a, env.From, to); err != nil {
		return err
	}
	failures := d.fileAll(ctx, now, a, env.From, trace, plan.locals)
	if len(plan.locals) > 0 && len(failures) == len(plan.locals) && !plan.remote() {
		return gravest(failures)
	}
	submissions, err := d.submissions(ctx, now, plan, a, env, trace)
	if err != nil {
		return err
	}
	for _, f := range failures {
		d.log.Warn("local delivery put off", obs.Msg, a.ID, obs.Account, f.local.Account.String(), obs.Err, f.err)
		submissions = append(submissions, apart(redelivery(a, env, trace, f.local), d.verpFor(a, env))...)
	}
	notice, err := d.delivered(ctx, now, a, env, trace, to, failures)
	if err != nil {
		return smtp.Trouble("cannot write a notification just now, try later", err)
	}
	if notice != nil {
		defer func() { _ = notice.Body.Close() }()
		submissions = append(submissions, *notice)
	}
	if len(submissions) == 0 {
		d.done(ctx, now, a, env)
		return nil
	}
	ids, err := d.queue.Enqueue(ctx, now, submissions...)
	if err != nil {
		return smtp.Trouble("cannot keep the message just now, try later", err)
	}
	d.queued(ctx, now, ids, submissions)
	return nil
}

// hold keeps the message for all recipients, our own too, until it may go.
// RFC 4865 §4.2 (5), (6)
func (d *Deliverer) hold(ctx context.Context, now time.Time, a *Arrival, env mail.Envelope, trace []byte, to []Recipient) error {
	recipients := make([]mail.Recipient, len(to))
	for i, r := range to {
		recipients[i] = r.Recipient
	}
	held := apart(submission(a, env, trace, recipients), d.verpFor(a, env))
	ids, err := d.queue.Enqueue(ctx, now, held...)
	if err != nil {
		return smtp.Trouble("cannot keep the message just now, try later", err)
	}
	d.queued(ctx, now, ids, held)
	return nil
}

// A failure is a local recipient that did not get the message.
type failure struct {
	local local
	err   error // a *smtp.Refusal
}

// fileAll writes the message to all accounts, several at once, and gives
// those that failed.
func (d *Deliverer) fileAll(ctx context.Context, now time.Time, a *Arrival, from mail.Address, trace []byte, to []local) []failure {
	if len(to) == 0 {
		return nil
	}
	var (
		mu       sync.Mutex // guards failures
		failures []failure
		writers  sync.WaitGroup
		slots    = make(chan struct{}, parallel)
	)
	file := func(l local) {
		if err := d.File(ctx, now, a, from, trace, l.Target); err != nil {
			mu.Lock()
			failures = append(failures, failure{l, err})
			mu.Unlock()
		}
	}
	for _, l := range to {
		// A large body is handed to its owners one after the other.
		if len(to) == 1 || a.Body.Bytes() == nil {
			file(l)
			continue
		}
		slots <- struct{}{}
		writers.Go(func() {
			defer func() { <-slots }()
			file(l)
		})
	}
	writers.Wait()
	return failures
}

// File puts the message into one account's INBOX and returns when it is
// durable there, or a *smtp.Refusal.
func (d *Deliverer) File(ctx context.Context, now time.Time, a *Arrival, from mail.Address, trace []byte, to directory.Target) error {
	account := d.mailboxes.Account(to.Account)
	in, name := d.mailboxFor(ctx, account, a)
	entry := mailbox.NewEntry{
		Mailbox: in,
		Body:    a.Body,
		Parsed:  a.Parsed,
		Prefix:  deliveryHeader(from, to, trace),
		Token:   a.token(to.Account.String()),
	}
	appended, err := account.Append(ctx, now, entry)
	if err != nil {
		return refusalFor(err)
	}
	obs.Log(ctx, d.log, slog.LevelInfo, "message delivered",
		slog.String(obs.Msg, a.ID), slog.String(obs.Account, to.Account.String()), slog.String(obs.Rcpt, to.Address.String()),
		slog.Int64(obs.Size, int64(a.Body.Size())), slog.Uint64("uid", uint64(appended[0].UID)))
	d.filed(ctx, now, a, from, to, name, appended[0].UID)
	return nil
}

// mailboxFor chooses INBOX, or Junk for what is held to be spam, where the
// account has one.
func (d *Deliverer) mailboxFor(ctx context.Context, account *mailbox.Account, a *Arrival) (id mail.MailboxID, name string) {
	if a.Junk {
		if junk, err := account.MailboxByRole(ctx, mail.RoleJunk); err == nil {
			return junk.ID, junk.Name
		}
	}
	return mailbox.Inbox, "INBOX"
}

// deliveryHeader gives what final delivery puts in front of a message.
func deliveryHeader(from mail.Address, to directory.Target, trace []byte) []byte {
	final := to.Address
	if to.Detail != "" {
		final.Local += "+" + to.Detail
	}
	// One Return-Path, the first line of all. RFC 5321 §4.4
	header := "Return-Path: <" + from.String() + ">\r\nDelivered-To: " + final.String() + "\r\n"
	return append([]byte(header), trace...)
}

// refusalFor says what a mailbox's error means to a sender.
func refusalFor(err error) *smtp.Refusal {
	switch {
	case errors.Is(err, mailbox.ErrOverQuota):
		return &smtp.Refusal{Code: 552, Enhanced: smtp.Enhanced{5, 2, 2}, Text: "the recipient's mailbox is full", Err: err}
	case errors.Is(err, mailbox.ErrTooLarge):
		return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 6, 0}, Text: "the message has too many parts, or too large a header", Err: err}
	case errors.Is(err, mailbox.ErrNoAccount), errors.Is(err, mailbox.ErrNoMailbox):
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user here", Err: err}
	}
	return smtp.Trouble("cannot store the message just now, try later", err)
}

// gravest chooses what to tell a sender when nobody got the message: that it
// is worth trying again, if it is for anybody.
func gravest(failures []failure) error {
	for _, f := range failures {
		var refusal *smtp.Refusal
		if errors.As(f.err, &refusal) && refusal.Temporary() {
			return f.err
		}
	}
	return failures[0].err
}
