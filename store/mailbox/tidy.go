package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Purging is for one node at a time. Whoever finds that there is something to
// do in an account takes a lease on it: a row that says who, and until when.
// Nothing is locked by it. Without it all would still be right, since each
// step is a transaction, but nodes would do the same work and meet in it.

// A lease is the row of who purges an account.
//
//	version, holder u64, until i64, swept i64 (seconds)
type lease struct {
	holder uint64
	until  int64
	swept  int64 // when large bodies were last looked at
}

const (
	leaseFor   = 10 * time.Minute
	sweepEvery = 12 * time.Hour // listing bodies may cost money
)

var leaseKey = []byte{keys.Tidy}

func (l lease) encode() []byte {
	b := binary.LittleEndian.AppendUint64([]byte{rowFormat}, l.holder)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.until))
	return binary.LittleEndian.AppendUint64(b, uint64(l.swept))
}

func decodeLease(b []byte) (lease, error) {
	if b == nil {
		return lease{}, nil
	}
	if len(b) != 25 || b[0] != rowFormat {
		return lease{}, fmt.Errorf("lease: %w", errCorrupt)
	}
	le := binary.LittleEndian
	return lease{le.Uint64(b[1:]), int64(le.Uint64(b[9:])), int64(le.Uint64(b[17:]))}, nil
}

// tidy purges an account as far as there is anything to purge. One that is at
// rest costs a few reads and no transaction.
func (a *Account) tidy(ctx context.Context, now time.Time) error {
	if err := a.finishDoomed(ctx); err != nil {
		return err
	}
	due, sweep, err := a.chores(ctx, now)
	if err != nil || !due && !sweep {
		return err
	}
	if mine, err := a.claim(ctx, now); err != nil || !mine {
		return err
	}
	began := time.Now()
	claimed := began
	for n := -1; n != 0; {
		step := time.Now()
		if n, err = a.Purge(ctx, now, purgeBatch); err != nil {
			return err
		}
		if err := rest(ctx, time.Since(step)); err != nil {
			return err
		}
		if time.Since(claimed) > leaseFor/2 {
			claimed = time.Now()
			if mine, err := a.claim(ctx, now.Add(claimed.Sub(began))); err != nil || !mine {
				return err
			}
		}
	}
	if sweep {
		if err := errors.Join(a.sweepSheets(ctx, now), a.sweep(ctx, now)); err != nil {
			return err
		}
	}
	return a.giveBack(ctx, now, sweep)
}

// rest leaves an account as long to others as it was busy, a second at most.
func rest(ctx context.Context, took time.Duration) error {
	if took <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(min(took, time.Second))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// claim takes the lease, or more time; false if another node has it.
func (a *Account) claim(ctx context.Context, now time.Time) (mine bool, err error) {
	err = a.changeLease(ctx, now, func(l *lease) {
		mine = l.holder == a.store.holder || l.until <= now.Unix()
		if mine {
			l.holder, l.until = a.store.holder, now.Add(leaseFor).Unix()
		}
	})
	return mine, err
}

// giveBack gives the lease back, and notes a sweep.
func (a *Account) giveBack(ctx context.Context, now time.Time, swept bool) error {
	return a.changeLease(ctx, now, func(l *lease) {
		if l.holder == a.store.holder {
			l.until = 0
		}
		if swept {
			l.swept = now.Unix()
		}
	})
}

func (a *Account) changeLease(ctx context.Context, now time.Time, fn func(*lease)) error {
	_, err := a.change(ctx, now, nil, [][]byte{leaseKey}, func(t *txn, got [][]byte) error {
		l, err := decodeLease(got[0])
		if err != nil {
			return err
		}
		was := l
		if fn(&l); l != was {
			t.Put(leaseKey, l.encode())
			t.dirty = true
		}
		return nil
	})
	return err
}

// chores tells whether anything is to be purged, and whether it is time to
// look at large bodies.
func (a *Account) chores(ctx context.Context, now time.Time) (purge, sweep bool, err error) {
	cut := now.Add(-a.store.o.Window).Unix()
	err = a.view(ctx, func(r kv.Reader, h *head) error {
		got, err := r.GetMany([][]byte{leaseKey})
		if err != nil {
			return err
		}
		l, err := decodeLease(got[0])
		if err != nil {
			return err
		}
		if l.holder != a.store.holder && l.until > now.Unix() {
			return nil // another node is at it
		}
		sweep = now.Unix()-l.swept >= int64(sweepEvery/time.Second)
		purge = h.pending > 0 || h.goneBytes > a.store.recoverable(h) ||
			h.modseq-h.forgotten > mail.ModSeq(a.store.o.MaxChanges)
		for _, look := range []func() (bool, error){
			func() (bool, error) {
				m, _, err := oldestDeleted(r)
				return m != nil && m.removed <= cut, err
			},
			func() (bool, error) {
				return first(r, []byte{keys.Gone}, []byte{keys.Gone + 1}, func(it kv.Item) (bool, error) {
					return len(it.Key) > 8 && int64(binary.BigEndian.Uint64(it.Key[1:])) <= cut, nil
				})
			},
			func() (bool, error) {
				return first(r, appendChangeKey(nil, h.forgotten+1, 0), []byte{keys.Change + 1}, func(it kv.Item) (bool, error) {
					_, second, err := changeTime(it)
					return second < cut, err
				})
			},
			func() (bool, error) {
				return first(r, []byte{keys.Release}, []byte{keys.Release + 1}, func(kv.Item) (bool, error) { return true, nil })
			},
			func() (bool, error) {
				return first(r, appendGenerationKey(nil, 0), appendGenerationKey(nil, generation(now)-1), func(kv.Item) (bool, error) { return true, nil })
			},
		} {
			if purge {
				return nil
			}
			if purge, err = look(); err != nil {
				return err
			}
		}
		return nil
	})
	return purge, sweep, err
}

// first tells whether there is a first row in a range that is so.
func first(r kv.Reader, lo, hi []byte, is func(kv.Item) (bool, error)) (bool, error) {
	for it, err := range r.Scan(lo, hi, kv.ScanOptions{Limit: 1}) {
		if err != nil {
			return false, err
		}
		return is(it)
	}
	return false, nil
}
