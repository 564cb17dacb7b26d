package search

import (
	"context"
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

const (
	// lookEvery is how often all accounts that are known are looked at,
	// whatever has been heard of them.
	lookEvery = 10 * time.Minute
	// pruneEvery is how often what has been purged leaves an index.
	pruneEvery = 24 * time.Hour
	// busyFor is how long after a delivery the worker leaves room for others.
	busyFor = 250 * time.Millisecond
)

// Run keeps the indexes of accounts that somebody reads up to date, until ctx
// ends. It does so in the calling goroutine, one account after the other.
func (x *Index) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		for {
			id, ok := x.next()
			if !ok {
				break
			}
			err := x.Update(ctx, id, time.Now())
			if ctx.Err() != nil {
				return nil
			}
			if err != nil && !errors.Is(err, errOvertaken) {
				x.log.Error("search index is behind", obs.Account, id, obs.Err, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		case <-tick.C:
			x.mu.Lock()
			for id := range x.accounts {
				x.waiting[id] = true
			}
			x.mu.Unlock()
		}
	}
}

func (x *Index) next() (mail.AccountID, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.waiting {
		delete(x.waiting, id)
		return id, true
	}
	return 0, false
}

// A Pace is that of a worker that leaves the machine to deliveries while there
// are any: three times as long as it has worked, after some milliseconds of it.
type Pace struct {
	x     *Index
	began time.Time
}

// Pace gives that of a worker that begins now.
func (x *Index) Pace() Pace { return Pace{x, time.Now()} }

// workAtOnce is how long a worker goes on in any case.
const workAtOnce = 2 * time.Millisecond

// Yield is called between the steps of the work; it may wait.
func (p *Pace) Yield(ctx context.Context) error {
	now := time.Now()
	took := now.Sub(p.began)
	if took < workAtOnce {
		return ctx.Err()
	}
	p.began = now
	if now.Sub(time.Unix(0, p.x.lastArrival.Load())) > busyFor {
		return ctx.Err()
	}
	defer func() { p.began = time.Now() }()
	t := time.NewTimer(min(3*took, time.Second))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Update brings the index of an account up to date: it indexes what has come,
// puts small segments together and removes what has been purged. An account
// that has nothing to do costs two reads.
func (x *Index) Update(ctx context.Context, id mail.AccountID, now time.Time) error {
	a := x.Account(id)
	var s state
	last, err := a.mail.LastEmail(ctx)
	if errors.Is(err, mailbox.ErrNoAccount) {
		return x.Drop(ctx, id)
	}
	if err != nil {
		return err
	}
	err = x.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{stateKey})
		if err != nil {
			return err
		}
		s, err = decodeState(got[0])
		return err
	})
	if errors.Is(err, errCorrupt) {
		return a.repair(ctx, err)
	}
	if err != nil {
		return err
	}
	prune := s.through > 0 && now.Unix()-s.pruned >= int64(pruneEvery/time.Second)
	if last-min(s.through, last) < minBatch && last >= s.through && !prune && !s.old {
		return nil
	}
	mine, first, err := a.claim(ctx, now)
	if err != nil || !mine {
		return err
	}
	began := time.Now()
	work := func() error {
		if first {
			if err := a.sweep(ctx, &s); err != nil {
				return err
			}
		}
		if stale, err := a.stale(ctx, &s, last); err != nil || stale {
			return errors.Join(x.Drop(ctx, id), err)
		}
		for {
			if time.Since(began) > leaseFor/3 {
				began = time.Now()
				if mine, _, err := a.claim(ctx, began); err != nil || !mine {
					return errors.Join(errOvertaken, err)
				}
			}
			more := false
			if last-min(s.through, last) >= minBatch {
				n, err := a.build(ctx, &s)
				if err != nil {
					return err
				}
				more = n > 0 // else there are only numbers
			}
			for _, step := range [...]func(context.Context, *state) (bool, error){a.renew, a.merge} {
				if more {
					break
				}
				if more, err = step(ctx, &s); err != nil {
					return err
				}
			}
			if !more {
				break
			}
		}
		if prune {
			return a.prune(ctx, &s, now)
		}
		return nil
	}
	err = work()
	if errors.Is(err, errCorrupt) {
		return a.repair(ctx, err)
	}
	return errors.Join(err, a.release(context.WithoutCancel(ctx)))
}

// stale tells whether the index is that of another life of the account: its
// last email is not the one of that number.
func (a *Account) stale(ctx context.Context, s *state, last mail.EmailID) (bool, error) {
	if s.through == 0 {
		return false, nil
	}
	if last < s.through {
		return true, nil
	}
	sum, there, err := a.mail.Sum(ctx, s.through)
	if err != nil || !there || s.sum == (blob.Sum{}) {
		return false, err
	}
	return sum != s.sum, nil
}
