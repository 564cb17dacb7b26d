package tlskeys

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"waxwing/store/kv"
)

// A Schedule says how long keys live.
type Schedule struct {
	// Rotate is how long a key is used before the next follows; 0 for as long
	// as nobody asks for that.
	Rotate time.Duration
	// Settle is the least time for which the record of a key was seen before the
	// key is used.
	Settle time.Duration
	// Keep is how long a key is remembered that no certificate of this host has
	// any more: others that share its name may still.
	Keep time.Duration
}

// A Sight is what the DNS has of a host's TLSA records.
type Sight struct {
	// None says that there are none which could keep mail away: no key needs to
	// be published.
	None bool
	// There says that the record of the key is among them.
	There bool
	// TTL is how long resolvers remember them.
	TTL time.Duration
}

// A Step is something that has happened to a key.
type Step struct {
	Key  Key
	What string // in words, for the operator
}

// Advance moves the keys of a host on, as far as time and the DNS permit, and
// makes the next one where there is none. look gives what the DNS has of a key;
// shown is the public key of the certificate that the host shows, if it is known.
// Several may call it at once.
func (s *Store) Advance(ctx context.Context, now time.Time, host string, schedule Schedule, shown []byte, look func(context.Context, Key) (Sight, error)) ([]Step, error) {
	all, err := s.Keys(ctx, host)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	sights := map[string]Sight{}
	for _, k := range all {
		if k.State == Made || k.State == Published {
			if sights[k.Name], err = look(ctx, k); err != nil {
				return nil, fmt.Errorf("look up the TLSA records of %s: %w", host, err)
			}
		}
	}
	next := sync.OnceValues(generate)
	var steps []Step
	err = s.change(ctx, host, func(tx kv.Txn, all []Key) error {
		steps = nil // it may be tried again
		now := now.UTC().Truncate(time.Second)
		before := slices.Clone(all)
		for i := range all {
			if what := advance(all, i, now, schedule, shown, sights); what != "" {
				steps = append(steps, Step{all[i], what})
			}
		}
		for i, k := range all {
			switch {
			case k.State == gone:
				tx.Delete(keyOf(host, k.Name))
			case k.State != before[i].State || k.TTL != before[i].TTL || k.Free != before[i].Free:
				if err := put(tx, k); err != nil {
					return err
				}
			}
		}
		if slices.ContainsFunc(all, func(k Key) bool { return k.State == Made || k.State == Published }) {
			return nil
		}
		private, err := next()
		if err != nil {
			return err
		}
		k, err := add(tx, all, Key{Host: normal(host), State: Made, Made: now, private: private})
		if err != nil {
			return err
		}
		steps = append(steps, Step{k, "made: it is the next one, and its TLSA record is to be published if the host has such records"})
		return nil
	})
	return steps, err
}

// gone is the state of a key that is to be forgotten.
const gone State = ""

// advance moves one key on, and says what happened.
func advance(all []Key, i int, now time.Time, s Schedule, shown []byte, sights map[string]Sight) string {
	k := &all[i]
	sight, seen := sights[k.Name]
	switch {
	case k.State != Used && k.has(shown):
		k.State, k.Used, k.Retired, k.Asked = Used, now, time.Time{}, false
		return "the certificate has it"
	case k.State == Used && len(shown) > 0 && !k.has(shown) && slices.ContainsFunc(all, func(other Key) bool { return other.has(shown) }):
		k.State, k.Retired = Retired, now
		return "the certificate does not have it any more"
	case k.State == Made && seen && (sight.There || sight.None):
		k.State, k.Published, k.TTL, k.Free = Published, now, sight.TTL, sight.None
		if sight.None {
			return "there are no TLSA records that it would have to be among"
		}
		return "its TLSA record is published"
	case k.State == Published && seen && !sight.There && !sight.None:
		k.State, k.Published, k.TTL, k.Free = Made, time.Time{}, 0, false
		return "its TLSA record is not there"
	case k.State == Published && seen && k.Free && !sight.None:
		k.Published, k.TTL, k.Free = now, sight.TTL, false
		return "its TLSA record is published"
	case k.State == Published && seen:
		k.TTL, k.Free = max(k.TTL, sight.TTL), sight.None
	case k.State == Retired && now.Sub(k.Retired) >= s.Keep:
		k.State = gone
		return "gone: its TLSA record may be removed"
	}
	return ""
}

// Wanted gives the key that the next certificate is to have: the one in use, or
// the one that follows it, if its time has come and it was seen for long enough.
func (s *Store) Wanted(ctx context.Context, now time.Time, host string, schedule Schedule) (Key, error) {
	all, err := s.Keys(ctx, host)
	if err != nil {
		return Key{}, err
	}
	used := slices.IndexFunc(all, func(k Key) bool { return k.State == Used })
	for _, k := range all {
		if k.State == Published && k.ready(now, schedule) &&
			(used < 0 || k.Asked || schedule.Rotate > 0 && now.Sub(all[used].Used) >= schedule.Rotate) {
			return k, nil
		}
	}
	if used < 0 {
		return Key{}, fmt.Errorf("%w in use: of %s", ErrNotFound, host)
	}
	return all[used], nil
}

// ready tells whether nobody remembers the records without this one any more.
// RFC 7671 §8.1
func (k Key) ready(now time.Time, s Schedule) bool {
	return now.Sub(k.Published) >= k.Ready(s)
}

// Ready gives for how long the record has to be seen before the key is used:
// where there are none, nobody can miss it.
func (k Key) Ready(s Schedule) time.Duration {
	if k.Free {
		return 0
	}
	return max(s.Settle, 2*k.TTL)
}
