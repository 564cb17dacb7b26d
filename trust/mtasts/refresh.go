package mtasts

import (
	"context"
	"errors"
	"time"

	"waxwing/obs"
)

const (
	// refreshTick is how often it is looked whether a policy is due, and
	// refreshEvery how old one is then. RFC 8461 §3.3
	refreshTick  = 15 * time.Minute
	refreshEvery = 24 * time.Hour
	// unused is after how long a policy is left to expire for whose domain there
	// was no mail.
	unused = 60 * 24 * time.Hour
)

// Run fetches policies anew, a day after they were, until ctx ends: so that
// nobody who keeps us from fetching one at the right moment gets rid of it. It
// ends the searches that nobody waits for any more.
func (ps *Policies) Run(ctx context.Context) error {
	defer ps.finish()
	tick := time.NewTicker(refreshTick)
	defer tick.Stop()
	for {
		if err := ps.Refresh(ctx, time.Now()); err != nil && ctx.Err() == nil {
			ps.log.Error("MTA-STS policies cannot be looked through", obs.Err, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Refresh fetches those policies anew that are due, one after the other, and
// forgets those that have expired.
func (ps *Policies) Refresh(ctx context.Context, now time.Time) error {
	var due, over []Kept
	for k, err := range ps.memory.All(ctx) {
		switch {
		case err != nil:
			return err
		case !now.Before(k.Expires()):
			over = append(over, k)
		case now.Sub(k.Used) < unused && isDue(k, now):
			due = append(due, k)
		}
	}
	for _, k := range over {
		if err := ps.memory.Forget(ctx, k.Domain); err != nil {
			return err
		}
	}
	for _, k := range due {
		if err := ps.renew(ctx, now, k.Domain); err != nil {
			return err
		}
	}
	return nil
}

// isDue tells whether a policy is to be fetched: when it is a day old, or half
// of its life is over. Where that has failed, it is tried as often again.
func isDue(k Kept, now time.Time) bool {
	every := max(min(refreshEvery, k.Policy.MaxAge/2), time.Hour)
	return now.Sub(k.Tried) >= every
}

// renew fetches one policy. Others who share the Memory may have done so
// meanwhile.
func (ps *Policies) renew(ctx context.Context, now time.Time, domain string) error {
	k, ok, err := ps.memory.Load(ctx, domain)
	if err != nil || !ok || !isDue(k, now) {
		return err
	}
	k.Tried = now
	if err := ps.memory.Save(ctx, k); err != nil {
		return err
	}
	id, _ := ps.record(ctx, domain)
	p, err := ps.fetch(ctx, domain)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var trouble *Error
	if errors.As(err, &trouble) {
		if k.Policy.Mode != None { // RFC 8461 §3.3: administrators are to know
			ps.log.Warn("MTA-STS policy cannot be refreshed, the one that is known holds until it expires",
				obs.Domain, domain, "expires", k.Expires(), obs.Err, trouble)
		}
		return nil
	}
	if err != nil {
		return err
	}
	k.Policy, k.Fetched = p, now
	if id != "" {
		k.ID = id
	}
	if err := ps.memory.Save(ctx, k); err != nil {
		return err
	}
	ps.Doubt(domain)
	return nil
}
