package outqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Freeze is a rule that holds mail: what fits it is not tried until the rule
// is removed, nor what comes later. At least one pattern is given.
type Freeze struct {
	Name    string
	From    string         // part of the reverse-path
	To      string         // part of a recipient's address
	Account mail.AccountID // whose submission it is
	Reason  string         // for those who wonder
	Created time.Time
}

// freezeRecord is a Freeze as it is stored.
type freezeRecord struct {
	From    string `cbor:"1,keyasint,omitempty"`
	To      string `cbor:"2,keyasint,omitempty"`
	Account uint64 `cbor:"3,keyasint,omitempty"`
	Reason  string `cbor:"4,keyasint,omitempty"`
	Created int64  `cbor:"5,keyasint,omitempty"`
}

const (
	// MaxFreezes bounds the rules: each new message is compared with all.
	MaxFreezes = 1000
	// maxFreezeName bounds a rule's name, and maxFreezeText what else it says.
	maxFreezeName = 100
	maxFreezeText = 4096
	// rulesFor is how long the rules are believed without a look whether
	// another process has changed them.
	rulesFor = 5 * time.Second
)

// Errors of Freeze.
var (
	ErrExists  = errors.New("there is a rule of that name")
	ErrTooMany = errors.New("there are as many rules as are looked at")
	// ErrRule says that a rule cannot be as it is.
	ErrRule = errors.New("not a rule that holds mail")
)

func (f *Freeze) filter() Filter { return Filter{Account: f.Account, From: f.From, To: f.To} }

func freezeKey(name string) []byte { return append([]byte{keys.QueueFreeze}, name...) }

// Freezes lists the rules by name.
func (q *Queue) Freezes(ctx context.Context) ([]Freeze, error) {
	r, err := q.readRules(ctx)
	return r.all, err
}

// Freeze adds a rule, holds what fits it, and tells how many were not held
// before. It holds all that fits: what had come before is looked through, and
// what comes, in whichever process, from the moment on from which that is so.
func (q *Queue) Freeze(ctx context.Context, f Freeze) (held int, err error) {
	switch {
	case f.Name == "" || len(f.Name) > maxFreezeName:
		return 0, fmt.Errorf("%w: it needs a name of at most %d octets", ErrRule, maxFreezeName)
	case f.From == "" && f.To == "" && f.Account == 0:
		return 0, fmt.Errorf("%w: it needs part of a sender's or recipient's address, or an account", ErrRule)
	case len(f.From)+len(f.To)+len(f.Reason) > maxFreezeText:
		return 0, fmt.Errorf("%w: it has more than %d octets of text", ErrRule, maxFreezeText)
	}
	b, err := cbor.Marshal(freezeRecord{From: f.From, To: f.To, Account: uint64(f.Account), Reason: f.Reason, Created: unixNano(f.Created)})
	if err != nil {
		return 0, err
	}
	var edition uint64
	err = kv.Apply(ctx, q.db, keys.Common, func(tx kv.Txn) (err error) {
		if _, err := tx.Get(freezeKey(f.Name)); !errors.Is(err, kv.ErrNotFound) {
			return errors.Join(err, ErrExists)
		}
		if err := roomForRule(tx); err != nil {
			return err
		}
		tx.Put(freezeKey(f.Name), append([]byte{version}, b...))
		edition, err = republish(tx)
		return err
	})
	if err == nil {
		err = q.proclaim(ctx, edition)
	}
	if err != nil {
		return 0, fmt.Errorf("freeze: %w", err)
	}
	return q.sweepUp(ctx, f.filter(), func(it *Item, s *state) {
		if !s.held {
			s.held, it.Frozen = true, f.Name
		}
	})
}

// roomForRule fails if there are as many rules as are looked at.
func roomForRule(tx kv.Txn) error {
	n := 0
	for _, err := range tx.Scan(freezeKey(""), []byte{keys.QueueFreeze + 1}, kv.ScanOptions{KeysOnly: true, Limit: MaxFreezes}) {
		if err != nil {
			return err
		}
		n++
	}
	if n == MaxFreezes {
		return ErrTooMany
	}
	return nil
}

// Thaw removes a rule, and releases what it holds and no other does; it tells how
// many those were.
func (q *Queue) Thaw(ctx context.Context, name string) (released int, err error) {
	var edition uint64
	err = kv.Apply(ctx, q.db, keys.Common, func(tx kv.Txn) (err error) {
		if _, err := tx.Get(freezeKey(name)); err != nil {
			return err
		}
		tx.Delete(freezeKey(name))
		edition, err = republish(tx)
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		err = ErrNotFound
	}
	if err == nil {
		err = q.proclaim(ctx, edition)
	}
	if err != nil {
		return 0, fmt.Errorf("thaw: %w", err)
	}
	rules, err := q.Freezes(ctx)
	if err != nil {
		return 0, err
	}
	return q.sweepUp(ctx, Filter{Held: true, Frozen: name}, func(it *Item, s *state) {
		it.Frozen = frozenBy(rules, it)
		s.held = it.Frozen != ""
	})
}

// sweepUp changes all items that a filter finds, and tells how many are held
// that were not, or the other way round.
func (q *Queue) sweepUp(ctx context.Context, f Filter, fn func(*Item, *state)) (n int, err error) {
	var ids []ID
	change := func() error {
		turned := map[ID]bool{} // the transaction may run again
		err := q.edit(ctx, "change", ids, func(it *Item, s *state) error {
			before := s.held
			fn(it, s)
			turned[it.ID] = s.held != before
			return nil
		})
		if errors.Is(err, ErrNotFound) {
			err = nil // they have gone meanwhile
		}
		for _, yes := range turned {
			if yes {
				n++
			}
		}
		ids = ids[:0]
		return err
	}
	for it, err := range q.List(ctx, f) {
		if err != nil {
			return n, err
		}
		if ids = append(ids, it.ID); len(ids) == eachBatch {
			if err := change(); err != nil {
				return n, err
			}
		}
	}
	return n, change()
}

// frozenBy gives the first rule that fits an item.
func frozenBy(rules []Freeze, it *Item) string {
	for i := range rules {
		if f := rules[i].filter(); f.wants(it) {
			return rules[i].Name
		}
	}
	return ""
}
