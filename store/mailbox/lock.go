package mailbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A MaildropLock is one POP3 session's: no other session has the account until
// it is unlocked. RFC 1939 §4
//
// Where others share the engine the lock is a row in the account, good for a
// while and renewed for as long as the session lives. Whoever dies with it
// keeps others out for that while and no longer.
//
//	version, token [16], varint milliseconds: until when
type MaildropLock struct {
	account *Account
	unlock  func()

	mu    sync.Mutex // guards until
	until time.Time  // zero where nobody can take it away
}

const (
	// lockTime is how long a lock is good without being renewed. The clocks of
	// those who share the engine may differ by much less.
	lockTime = time.Minute
	// lockRenew is how often it is renewed.
	lockRenew = lockTime / 4
	// lockSpare is how long before its end a lock is not relied on any more.
	lockSpare = lockTime / 6
)

var maildropKey = []byte{keys.Maildrop}

// LockMaildrop gives exclusive access to the account among those who ask for
// it, or ErrLocked.
func (a *Account) LockMaildrop(ctx context.Context) (*MaildropLock, error) {
	s := a.store
	s.mu.Lock()
	if s.locked[a.id] {
		s.mu.Unlock()
		return nil, ErrLocked
	}
	s.locked[a.id] = true
	s.mu.Unlock()
	release := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.locked, a.id)
	}
	l := &MaildropLock{account: a, unlock: release}
	if !s.o.Shared {
		return l, nil
	}
	if err := l.lease(ctx, release); err != nil {
		release()
		return nil, err
	}
	return l, nil
}

// Unlock ends the lock. Doing so again does nothing.
func (l *MaildropLock) Unlock() {
	l.mu.Lock()
	unlock := l.unlock
	l.unlock = func() {}
	l.mu.Unlock()
	unlock()
}

// Held gives ErrLocked if the lock could not be renewed in time: somebody else
// may have it.
func (l *MaildropLock) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.until.IsZero() && time.Until(l.until) < lockSpare {
		return fmt.Errorf("the lock could not be renewed: %w", ErrLocked)
	}
	return nil
}

// lease takes the row and keeps it until Unlock.
func (l *MaildropLock) lease(ctx context.Context, release func()) error {
	var token [16]byte
	rand.Read(token[:]) // never fails
	if err := l.renew(ctx, token, false); err != nil {
		return err
	}
	a := l.account
	if err := a.store.start(); err != nil {
		return err
	}
	renewing, stop := context.WithCancel(a.store.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		defer a.store.work.Done()
		l.keepRenewed(renewing, token)
	})
	l.unlock = func() {
		stop()
		done.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), lockRenew)
		defer cancel()
		if err := l.giveBack(ctx, token); err != nil {
			a.store.log.Warn("lock of a maildrop is left until its end", obs.Account, a.id, obs.Err, err)
		}
		release()
	}
	return nil
}

// keepRenewed renews the row until ctx ends, or somebody else has it.
func (l *MaildropLock) keepRenewed(ctx context.Context, token [16]byte) {
	tick := time.NewTicker(lockRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := l.renew(ctx, token, true)
		if err != nil && ctx.Err() == nil {
			l.account.store.log.Warn("lock of a maildrop not renewed", obs.Account, l.account.id, obs.Err, err)
		}
		if errors.Is(err, ErrLocked) {
			l.mu.Lock()
			l.until = time.Unix(1, 0) // it is another's
			l.mu.Unlock()
			return
		}
	}
}

// renew writes the row, unless it is another's and good. What was ours and is
// no longer there has been somebody else's meanwhile.
func (l *MaildropLock) renew(ctx context.Context, token [16]byte, ours bool) error {
	ctx, cancel := context.WithTimeout(ctx, lockRenew)
	defer cancel()
	now := time.Now()
	until := now.Add(lockTime)
	err := kv.Apply(ctx, l.account.store.db, l.account.part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{headKey, maildropKey})
		if err != nil {
			return err
		}
		if got[0] == nil {
			return ErrNoAccount
		}
		holder, end, err := decodeMaildrop(got[1])
		if err != nil {
			return err
		}
		if holder != token && (ours || now.Before(end)) {
			return ErrLocked
		}
		tx.Put(maildropKey, binary.AppendVarint(append([]byte{rowFormat}, token[:]...), until.UnixMilli()))
		return nil
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	return nil
}

// giveBack removes the row if it is ours.
func (l *MaildropLock) giveBack(ctx context.Context, token [16]byte) error {
	return kv.Apply(ctx, l.account.store.db, l.account.part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{maildropKey})
		if err != nil {
			return err
		}
		if holder, _, err := decodeMaildrop(got[0]); err == nil && got[0] != nil && holder == token {
			tx.Delete(maildropKey)
		}
		return nil
	})
}

// decodeMaildrop reads the row; none is nobody's.
func decodeMaildrop(b []byte) (holder [16]byte, until time.Time, err error) {
	if b == nil {
		return holder, time.Time{}, nil
	}
	if len(b) < 1+len(holder) || b[0] != rowFormat {
		return holder, time.Time{}, fmt.Errorf("lock of the maildrop: %w", errCorrupt)
	}
	copy(holder[:], b[1:])
	d := decoder{b: b[1+len(holder):]}
	until = time.UnixMilli(d.varint())
	if d.bad {
		err = fmt.Errorf("lock of the maildrop: %w", errCorrupt)
	}
	return holder, until, err
}
