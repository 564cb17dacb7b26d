package mailbox

import (
	"context"
	"fmt"
	"iter"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// An Account is one account's mail. It is safe for concurrent use; all who
// ask a Store for the same account get the same Account as long as somebody
// holds it, so that what it has learnt is shared.
type Account struct {
	store    *Store
	id       mail.AccountID
	part     kv.Partition
	keywords keywordTable
	names    atomic.Pointer[nameTable]
	follow   follower
}

// scratches are buffers in which records are put together.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// Account gives an account without asking whether it exists.
func (s *Store) Account(id mail.AccountID) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[id].Value(); a != nil {
		return a
	}
	a := &Account{store: s, id: id, part: keys.Account(id)}
	a.follow.views = make(map[mail.MailboxID]*View)
	w := weak.Make(a)
	s.accounts[id] = w
	runtime.AddCleanup(a, func(id mail.AccountID) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.accounts[id] == w {
			delete(s.accounts, id)
		}
	}, id)
	return a
}

// start counts one more goroutine; its end calls work.Done.
func (s *Store) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.work.Add(1)
	return nil
}

// ID gives the account's number.
func (a *Account) ID() mail.AccountID { return a.id }

// view runs fn on a durable state of the account.
func (a *Account) view(ctx context.Context, fn func(r kv.Reader, h *head) error) error {
	return a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		h, err := readHead(r)
		if err != nil {
			return err
		}
		return fn(r, &h)
	})
}

func readHead(r kv.Reader) (head, error) {
	got, err := r.GetMany([][]byte{headKey})
	if err != nil {
		return head{}, err
	}
	return decodeHead(got[0])
}

func (a *Account) head(ctx context.Context) (h head, err error) {
	err = a.view(ctx, func(_ kv.Reader, now *head) error { h = *now; return nil })
	return h, err
}

// defaultMailboxes are those of a new account. RFC 6154 §2
var defaultMailboxes = [...]struct {
	name string
	role mail.Role
}{
	{InboxName, mail.RoleInbox},
	{"Drafts", mail.RoleDrafts},
	{"Sent", mail.RoleSent},
	{"Junk", mail.RoleJunk},
	{"Trash", mail.RoleTrash},
	{"Archive", mail.RoleArchive},
}

// Create makes an account with INBOX and the mailboxes that people expect,
// subscribed. An account that exists stays as it is.
func (s *Store) Create(ctx context.Context, id mail.AccountID, now time.Time, o AccountOptions) error {
	part := keys.Account(id)
	if _, ok := keys.AccountOf(part); !ok {
		return fmt.Errorf("account %v: %w", id, ErrNoAccount)
	}
	return kv.Apply(ctx, s.db, part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{headKey})
		if err != nil || got[0] != nil {
			return err
		}
		h := head{modseq: 1, names: 1, quota: o.Quota, validity: mail.UIDValidity(now.Unix())}
		var items []item
		for _, d := range defaultMailboxes {
			m := h.newBox(d.name, d.role)
			m.Subscribed, m.HighestModSeq = true, h.modseq
			tx.Put(appendBoxKey(nil, m.ID), m.append(nil))
			tx.Put(appendSubscriptionKey(nil, m.Name), append([]byte{rowFormat}, m.Name...))
			items = append(items, item{kind: byte(MailboxCreated), mailbox: m.ID})
		}
		tx.Put(headKey, h.append(nil))
		return putChange(tx, nil, h.modseq, now, items)
	})
}

// newBox gives the record of a new mailbox. Neither its number nor its
// UIDVALIDITY has been used before. RFC 9051 §2.3.1.1
func (h *head) newBox(name string, role mail.Role) *box {
	h.mailbox++
	h.validity++
	h.boxes++
	return &box{Info: Info{ID: h.mailbox, Name: name, Role: role, UIDValidity: h.validity, UIDNext: 1}}
}

// SetQuota changes an account's quota: zero for the Store's own, negative for
// none.
func (s *Store) SetQuota(ctx context.Context, id mail.AccountID, q mail.ByteCount) error {
	_, err := s.Account(id).change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.head.quota, t.dirty = q, true
		return nil
	})
	return err
}

// SetRecoverable changes how much of what is gone an account keeps to be
// recovered: zero for the Store's own limit, negative for none.
func (s *Store) SetRecoverable(ctx context.Context, id mail.AccountID, n mail.ByteCount) error {
	_, err := s.Account(id).change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.head.recoverable, t.dirty = n, true
		return nil
	})
	return err
}

// Usage tells how full an account is.
type Usage struct {
	Bytes       mail.ByteCount // of what can be seen
	Quota       mail.ByteCount // zero: no limit
	Recoverable mail.ByteCount // of what is gone but not purged; not counted in Bytes
	Messages    int

	RecoverableQuota mail.ByteCount // what Recoverable may be; zero: no limit
	RecoverableOwn   mail.ByteCount // as SetRecoverable has set it

	MaxMessages  int // zero: no limit
	Mailboxes    int
	MaxMailboxes int

	Annotations    mail.ByteCount // octets of those that the account keeps
	MaxAnnotations mail.ByteCount
}

// Usage tells how full the account is.
func (a *Account) Usage(ctx context.Context) (Usage, error) {
	h, err := a.head(ctx)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Bytes: h.bytes, Quota: a.store.quota(&h), Recoverable: h.goneBytes, Messages: int(h.messages), RecoverableOwn: h.recoverable,
		MaxMessages: int(h.maxMessages), Mailboxes: int(h.boxes), MaxMailboxes: a.store.maxBoxes(&h),
		Annotations: h.notes, MaxAnnotations: h.notesLimit()}
	if most := a.store.recoverable(&h); most < math.MaxInt64 {
		u.RecoverableQuota = most
	}
	return u, nil
}

// quota gives the limit that holds for an account, zero for none.
func (s *Store) quota(h *head) mail.ByteCount {
	switch {
	case h.quota < 0:
		return 0
	case h.quota == 0:
		return s.o.Quota
	}
	return h.quota
}

// leastRecoverable is what can be recovered at least where the limit is the
// quota again: a small quota is when people delete most.
const leastRecoverable = 1 << 30

// recoverable gives the limit for what is gone but not purged.
func (s *Store) recoverable(h *head) mail.ByteCount {
	switch {
	case h.recoverable < 0:
		return math.MaxInt64
	case h.recoverable > 0:
		return h.recoverable
	case s.o.Recoverable > 0:
		return s.o.Recoverable
	}
	if q := s.quota(h); q > 0 {
		return max(q, leastRecoverable)
	}
	return 10e9
}

// dropIndex removes what store/search has of an account.
func (s *Store) dropIndex(ctx context.Context, id mail.AccountID) error {
	return kv.Apply(ctx, s.db, keys.Index(id), func(tx kv.Txn) error {
		for _, err := range tx.Scan(nil, nil, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
			if err == nil {
				tx.DeleteRange(nil, nil)
			}
			return err
		}
		return nil
	})
}

// Accounts lists all that have mailboxes.
func (s *Store) Accounts(ctx context.Context) iter.Seq2[mail.AccountID, error] {
	return func(yield func(mail.AccountID, error) bool) {
		for p, err := range s.db.Partitions(ctx, 1) {
			id, ok := keys.AccountOf(p)
			if err == nil && !ok {
				return
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// Delete removes an account with all that it holds, at once and for good.
// That there is none is no error.
func (s *Store) Delete(ctx context.Context, id mail.AccountID) error {
	a := s.Account(id)
	commit, err := s.db.Update(ctx, a.part, func(tx kv.Txn) error {
		tx.DeleteRange(nil, nil)
		return nil
	})
	if err != nil {
		return err
	}
	if err := commit.Wait(ctx); err != nil {
		return err
	}
	if err := s.dropIndex(ctx, id); err != nil {
		return err
	}
	a.follow.deleted()
	s.mu.Lock()
	delete(s.accounts, id) // another by that number shares nothing with it
	s.mu.Unlock()
	for stat, err := range s.blobs.List(ctx, id) {
		if err != nil {
			return err
		}
		if err := s.blobs.Delete(ctx, stat.Key); err != nil {
			return err
		}
	}
	return nil
}
