package dkimkeys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"waxwing/store/kv"
)

// A Schedule says how long keys live. The zero value is DefaultSchedule.
type Schedule struct {
	// Rotate is how long a key is used before its successor is made.
	Rotate time.Duration
	// Settle is how long a record was seen in the DNS before its key is used,
	// so that no resolver remembers that there was none.
	Settle time.Duration
	// Overlap is how long the record of a retired key stays published: as long
	// as mail may be under way.
	Overlap time.Duration
}

// DefaultSchedule is what to do if nothing else is wanted.
var DefaultSchedule = Schedule{Rotate: 180 * 24 * time.Hour, Settle: time.Hour, Overlap: 14 * 24 * time.Hour}

func (s Schedule) orDefault() Schedule {
	if s == (Schedule{}) {
		return DefaultSchedule
	}
	return s
}

// A Step is something that has happened to a key.
type Step struct {
	Key  Key
	What string // in words, for the operator
}

// Advance moves the keys of a domain on in their lives, as far as time and the
// DNS permit, and makes the ones that are missing or due. published looks
// whether the DNS has a key's record. The steps are told to the operator, who
// has to publish and to remove records. Several may call it at once.
func (s *Store) Advance(ctx context.Context, now time.Time, domain string, schedule Schedule, published func(context.Context, Key) (bool, error)) ([]Step, error) {
	schedule = schedule.orDefault()
	all, err := s.Keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, k := range all {
		if k.State == Made || k.State == Published {
			ok, err := published(ctx, k)
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", k.Name(), err)
			}
			seen[k.Selector] = ok
		}
	}
	var steps []Step
	err = s.change(ctx, domain, func(tx kv.Txn, all []Key) error {
		steps = nil // it may be tried again
		for i := range all {
			step, err := advance(tx, all, i, now, schedule, seen)
			if err != nil {
				return err
			}
			if step.What != "" {
				steps = append(steps, step)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, algorithm := range []string{RSA, Ed25519} {
		if !due(all, algorithm, now, schedule) {
			continue
		}
		k, err := s.add(ctx, now, domain, algorithm)
		if err != nil {
			return steps, err
		}
		steps = append(steps, Step{k, "made: its record is to be published"})
	}
	return steps, nil
}

// advance moves one key on.
func advance(tx kv.Txn, all []Key, i int, now time.Time, s Schedule, seen map[string]bool) (Step, error) {
	k := &all[i]
	first := !slices.ContainsFunc(all, func(other Key) bool { return other.Algorithm == k.Algorithm && other.State == Used })
	there, looked := seen[k.Selector]
	switch {
	case k.State == Made && there && !first:
		k.State, k.Published = Published, now.UTC().Truncate(time.Second)
		return Step{*k, "its record is published"}, put(tx, *k)
	case k.State == Published && looked && !there: // who signed with it could not be believed
		k.State, k.Published = Made, time.Time{}
		return Step{*k, "its record is not there any more"}, put(tx, *k)
	case k.State == Made && there,
		k.State == Published && (first || now.Sub(k.Published) >= s.Settle):
		err := use(tx, all, i, now)
		return Step{*k, "it signs now"}, err
	case k.State == Retired && now.Sub(k.Retired) >= s.Overlap:
		tx.Delete(keyOf(k.Domain, k.Selector))
		return Step{*k, "gone: its record may be removed from the DNS"}, nil
	}
	return Step{}, nil
}

// due reports whether a key is to be made: there is none, or the one that signs
// is old and has no successor.
func due(all []Key, algorithm string, now time.Time, s Schedule) bool {
	old := true
	for _, k := range all {
		if k.Algorithm != algorithm {
			continue
		}
		switch k.State {
		case Made, Published:
			return false
		case Used:
			old = old && now.Sub(k.Used) >= s.Rotate
		}
	}
	return old
}
