package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Pause says why an account may not send for now.
type Pause struct {
	Account mail.AccountID
	Reason  string
	Since   time.Time
}

// Paused tells whether an account may not send for now, and why.
func (s *Store) Paused(id mail.AccountID) (Pause, bool) {
	p, ok := s.standing.Load().pauses[id]
	return p, ok
}

// Pauses gives all pauses, in the order of their accounts.
func (s *Store) Pauses() []Pause {
	var all []Pause
	for _, p := range s.standing.Load().pauses {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Pause) int { return int(min(max(int64(a.Account)-int64(b.Account), -1), 1)) })
	return all
}

// Pause keeps an account from sending until Resume. It says whether that is
// new; else the old reason stays.
func (s *Store) Pause(ctx context.Context, p Pause) (begun bool, err error) {
	value, err := encodeRecord(pauseRecord{Reason: p.Reason, Since: toUnix(p.Since)})
	if err != nil {
		return false, err
	}
	err = s.say(ctx, func(tx kv.Txn) error {
		_, err := tx.Get(pauseKey(p.Account))
		if begun = errors.Is(err, kv.ErrNotFound); begun {
			tx.Put(pauseKey(p.Account), value)
			return nil
		}
		return err
	})
	return begun, err
}

// Resume ends a pause, and forgets what the account has sent lately, which
// would only bring it back. It fails with ErrNotPaused.
func (s *Store) Resume(ctx context.Context, id mail.AccountID) error {
	if err := s.remove(ctx, pauseKey(id), ErrNotPaused); err != nil {
		return err
	}
	return s.forget(ctx, func(other Subject) bool { return other.account == id })
}

func pauseKey(id mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keys.PeerPause}, uint64(id))
}
