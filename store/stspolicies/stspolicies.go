// Package stspolicies keeps the MTA-STS policies of other domains (trust/mtasts
// finds them): over restarts, since who has one must not be talked out of it,
// and for all who share the store.
package stspolicies

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/trust/mtasts"
)

// version is the first octet of every record.
const version = 1

// A Store keeps policies. It is a mtasts.Memory, and safe for concurrent use.
type Store struct{ db kv.Store }

var _ mtasts.Memory = (*Store)(nil)

// New makes a Store.
func New(db kv.Store) *Store { return &Store{db: db} }

// record is a mtasts.Kept. Times are seconds. Numbers are never used again.
type record struct {
	ID      string   `cbor:"1,keyasint"`
	Mode    string   `cbor:"2,keyasint"`
	MX      []string `cbor:"3,keyasint,omitempty"`
	MaxAge  int64    `cbor:"4,keyasint"`
	Fetched int64    `cbor:"5,keyasint"`
	Tried   int64    `cbor:"6,keyasint"`
	Used    int64    `cbor:"7,keyasint"`
}

func key(domain string) []byte {
	return append([]byte{keys.PeerSTS}, strings.ToLower(domain)...)
}

// Load implements mtasts.Memory.
func (s *Store) Load(ctx context.Context, domain string) (k mtasts.Kept, ok bool, err error) {
	err = s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		b, err := r.Get(key(domain))
		if errors.Is(err, kv.ErrNotFound) {
			k, ok = mtasts.Kept{}, false
			return nil
		}
		if err != nil {
			return err
		}
		k, err = decode(domain, b)
		ok = err == nil
		return err
	})
	return k, ok, err
}

// Save implements mtasts.Memory.
func (s *Store) Save(ctx context.Context, k mtasts.Kept) error {
	b, err := cbor.Marshal(record{
		ID: k.ID, Mode: string(k.Policy.Mode), MX: k.Policy.MX, MaxAge: int64(k.Policy.MaxAge / time.Second),
		Fetched: k.Fetched.Unix(), Tried: k.Tried.Unix(), Used: k.Used.Unix(),
	})
	if err != nil {
		return fmt.Errorf("encode the policy of %s: %w", k.Domain, err)
	}
	return kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
		tx.Put(key(k.Domain), append([]byte{version}, b...))
		return nil
	})
}

// Forget implements mtasts.Memory.
func (s *Store) Forget(ctx context.Context, domain string) error {
	return kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
		tx.Delete(key(domain))
		return nil
	})
}

// page is how many policies are read at once.
const page = 500

// All implements mtasts.Memory. What comes and goes meanwhile may be among them
// or not.
func (s *Store) All(ctx context.Context) iter.Seq2[mtasts.Kept, error] {
	return func(yield func(mtasts.Kept, error) bool) {
		lo, hi := []byte{keys.PeerSTS}, kv.PrefixEnd([]byte{keys.PeerSTS})
		for lo != nil {
			some, next, err := s.some(ctx, lo, hi)
			if err != nil {
				yield(mtasts.Kept{}, err)
				return
			}
			for _, k := range some {
				if !yield(k, nil) {
					return
				}
			}
			lo = next
		}
	}
}

// some reads a page, and says where the next begins; nil at the end.
func (s *Store) some(ctx context.Context, lo, hi []byte) (some []mtasts.Kept, next []byte, err error) {
	err = s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		some, next = nil, nil
		for item, err := range r.Scan(lo, hi, kv.ScanOptions{Limit: page}) {
			if err != nil {
				return err
			}
			k, err := decode(string(item.Key[1:]), item.Value)
			if err != nil {
				return err
			}
			some = append(some, k)
			if len(some) == page {
				next = append(append([]byte(nil), item.Key...), 0)
			}
		}
		return nil
	})
	return some, next, err
}

func decode(domain string, b []byte) (mtasts.Kept, error) {
	if len(b) == 0 || b[0] != version {
		return mtasts.Kept{}, fmt.Errorf("the policy of %s is damaged or of an unknown version", domain)
	}
	var r record
	if err := cbor.Unmarshal(b[1:], &r); err != nil {
		return mtasts.Kept{}, fmt.Errorf("the policy of %s is damaged: %w", domain, err)
	}
	return mtasts.Kept{
		Domain: domain, ID: r.ID,
		Policy:  mtasts.Policy{Mode: mtasts.Mode(r.Mode), MX: r.MX, MaxAge: time.Duration(r.MaxAge) * time.Second},
		Fetched: time.Unix(r.Fetched, 0), Tried: time.Unix(r.Tried, 0), Used: time.Unix(r.Used, 0),
	}, nil
}
