package outqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/obs"
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
	// maxFreezes bounds the rules: each new message is compared with all.
	maxFreezes = 1000
	// maxFreezeName bounds a rule's name.
	maxFreezeName = 100
	// freezesFor is how long the rules are believed without a look whether
	// another process has changed them.
	freezesFor = 5 * time.Second
)

// ErrExists says that there is a rule of that name.
var ErrExists = errors.New("there is a rule of that name")

func (f *Freeze) filter() Filter { return Filter{Account: f.Account, From: f.From, To: f.To} }

func freezeKey(name string) []byte { return append([]byte{keys.QueueFreeze}, name...) }

// Freezes lists the rules by name.
func (q *Queue) Freezes(ctx context.Context) (all []Freeze, err error) {
	err = q.db.View(ctx, keys.Common, func(r kv.Reader) error {
		all = nil
		for row, err := range r.Scan(freezeKey(""), []byte{keys.QueueFreeze + 1}, kv.ScanOptions{Limit: maxFreezes}) {
			if err != nil {
				return err
			}
			var f freezeRecord
			if len(row.Value) == 0 || row.Value[0] != version {
				return errVersion
			}
			if err := cbor.Unmarshal(row.Value[1:], &f); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			all = append(all, Freeze{
				Name: string(row.Key[1:]), From: f.From, To: f.To, Account: mail.AccountID(f.Account), Reason: f.Reason, Created: fromNano(f.Created),
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the rules of the queue: %w", err)
	}
	return all, nil
}

// Freeze adds a rule, holds what fits it, and tells how many that were. It
// holds what comes from then on; where other processes share the queue, what
// they take within some seconds may pass.
func (q *Queue) Freeze(ctx context.Context, f Freeze) (held int, err error) {
	switch {
	case f.Name == "" || len(f.Name) > maxFreezeName:
		return 0, errors.New("freeze: the rule needs a name of at most 100 octets")
	case f.From == "" && f.To == "" && f.Account == 0:
		return 0, errors.New("freeze: the rule fits everything")
	case len(f.From)+len(f.To)+len(f.Reason) > 4096:
		return 0, fmt.Errorf("freeze: %w", ErrTooLarge)
	}
	b, err := cbor.Marshal(freezeRecord{From: f.From, To: f.To, Account: uint64(f.Account), Reason: f.Reason, Created: unixNano(f.Created)})
	if err != nil {
		return 0, err
	}
	err = kv.Apply(ctx, q.db, keys.Common, func(tx kv.Txn) error {
		if _, err := tx.Get(freezeKey(f.Name)); !errors.Is(err, kv.ErrNotFound) {
			return errors.Join(err, ErrExists)
		}
		tx.Put(freezeKey(f.Name), append([]byte{version}, b...))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("freeze: %w", err)
	}
	q.freezes.changed()
	return q.sweepUp(ctx, f.filter(), func(it *Item, s *state) error {
		if !s.held {
			s.held, it.Frozen = true, f.Name
		}
		return nil
	})
}

// Thaw removes a rule, and releases what it holds.
func (q *Queue) Thaw(ctx context.Context, name string) (released int, err error) {
	err = kv.Apply(ctx, q.db, keys.Common, func(tx kv.Txn) error {
		if _, err := tx.Get(freezeKey(name)); err != nil {
			return err
		}
		tx.Delete(freezeKey(name))
		return nil
	})
	if errors.Is(err, kv.ErrNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("thaw: %w", err)
	}
	q.freezes.changed()
	rules, err := q.Freezes(ctx)
	if err != nil {
		return 0, err
	}
	return q.sweepUp(ctx, Filter{Held: true, Frozen: name}, func(it *Item, s *state) error {
		it.Frozen = frozenBy(rules, it)
		s.held = it.Frozen != ""
		return nil
	})
}

// sweepUp changes all items that a filter finds.
func (q *Queue) sweepUp(ctx context.Context, f Filter, fn func(*Item, *state) error) (n int, err error) {
	var ids []ID
	change := func() error {
		err := q.edit(ctx, "change", ids, fn)
		if errors.Is(err, ErrNotFound) {
			err = nil // they have gone meanwhile
		}
		n, ids = n+len(ids), ids[:0]
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

// freezes is the rules as they were read.
type freezes struct {
	mu      sync.Mutex
	all     []Freeze  // guarded by mu
	read    time.Time // zero if they are to be read again; guarded by mu
	changes int       // how often they were changed here; guarded by mu
}

// changed says that the rules are others now.
func (f *freezes) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = time.Time{}
	f.changes++
}

// rules gives the rules as they were a moment ago.
func (q *Queue) rules(ctx context.Context) []Freeze {
	f := &q.freezes
	f.mu.Lock()
	all, changes := f.all, f.changes
	known := !f.read.IsZero() && time.Since(f.read) < freezesFor
	f.mu.Unlock()
	if known {
		return all
	}
	read, err := q.Freezes(ctx)
	if err != nil {
		q.o.Log.Error("the rules that hold mail cannot be read", obs.Err, err)
		return all
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes == changes { // else these may be those from before
		f.all, f.read = read, time.Now()
	}
	return read
}
