// Package pop3 is the door for POP3: it binds the machine of
// proto/pop3/pop3server to the INBOX of an account. How connections, states
// and commands work is the machine's business; how mail is kept, that of
// store/mailbox.
//
// A session sees the INBOX as it was at the login, as one immutable snapshot
// that it shares with everybody else. It holds the account's maildrop lock:
// one POP3 session at a time, while IMAP and deliveries go on. What IMAP
// expunges meanwhile stays in the session's numbering; retrieving it fails, or
// succeeds while it can still be recovered; deleting it is no error.
//
// QUIT deletes all or none, durably before +OK. Messages that were retrieved
// then get \Seen, so that other clients know. A connection that breaks off
// changes nothing.
//
// Sizes are those of the messages as stored, and messages are sent so: the
// two agree. Exceptions: a message that does not end with CRLF (only APPEND
// makes such) is sent with one; a surrogate for a client without UTF8 has
// another size (RFC 6858 §4).
package pop3

import (
	"context"
	"errors"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/proto/pop3"
	"waxwing/proto/pop3/pop3server"
	"waxwing/proto/sasl"
	"waxwing/store/mailbox"
)

// Options of a Door; the zero value is sensible.
type Options struct {
	// LoginDelay is the least time between two logins of an account. It has
	// to be the machine's, which announces it. RFC 2449 §6.5
	LoginDelay time.Duration
}

// A Door opens maildrops. It is safe for concurrent use.
type Door struct {
	mailboxes *mailbox.Store
	options   Options

	mu     sync.Mutex                   // guards logins
	logins map[mail.AccountID]time.Time // the last ones; pruned
}

// New makes a door to the mailboxes.
func New(mailboxes *mailbox.Store, o Options) *Door {
	return &Door{mailboxes: mailboxes, options: o, logins: map[mail.AccountID]time.Time{}}
}

// Open is the pop3server.Newer.
func (d *Door) Open(ctx context.Context, info *pop3server.Info, who sasl.Identity) (pop3server.Session, error) {
	if wait := d.tooSoon(who.Account, time.Now()); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		return nil, &pop3.Refusal{Code: pop3.LoginDelay, Phrase: pop3.LoggedInRecently, Args: []any{seconds}}
	}
	account := d.mailboxes.Account(who.Account)
	lock, err := account.LockMaildrop(ctx)
	if errors.Is(err, mailbox.ErrLocked) {
		return nil, &pop3.Refusal{Code: pop3.InUse, Phrase: pop3.MaildropInUse} // RFC 2449 §8.1.2
	}
	if err != nil {
		return nil, err
	}
	s, err := openInbox(ctx, account)
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	s.lock, s.log = lock, info.Log
	d.remember(who.Account, time.Now())
	return s, nil
}

func openInbox(ctx context.Context, account *mailbox.Account) (*session, error) {
	info, err := account.Mailbox(ctx, "INBOX")
	if err != nil {
		return nil, err
	}
	// What a QUIT has decided before the program died is not seen again.
	if err := account.FinishExpunge(ctx, info.ID); err != nil {
		return nil, err
	}
	view, err := account.Open(ctx, info.ID)
	if err != nil {
		return nil, err
	}
	defer view.Close() // the snapshot stays
	return &session{account: account, snapshot: view.Snapshot(), info: info}, nil
}

// tooSoon gives how long an account has to wait for its next login.
func (d *Door) tooSoon(id mail.AccountID, now time.Time) time.Duration {
	if d.options.LoginDelay <= 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	last, ok := d.logins[id]
	if !ok {
		return 0
	}
	return last.Add(d.options.LoginDelay).Sub(now)
}

// remember notes a login, and now and then forgets those that no longer matter.
func (d *Door) remember(id mail.AccountID, now time.Time) {
	if d.options.LoginDelay <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.logins); n >= 1024 && n&(n-1) == 0 {
		for other, last := range d.logins {
			if now.Sub(last) >= d.options.LoginDelay {
				delete(d.logins, other)
			}
		}
	}
	d.logins[id] = now
}
