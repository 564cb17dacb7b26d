// Package sealkeys keeps the keys with which we sign addresses that come back
// to us: rewritten senders of forwards (SRS) and tags of our own (BATV). They
// are made here, renewed by themselves, shared by all who share the store, and
// backed up with it, since mail that is under way refers to them.
package sealkeys

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A key signs for rotation, and is kept for keep: what it has signed last must
// still be known when that is at its oldest.
const (
	rotation = 30 * 24 * time.Hour
	keep     = rotation + 30*24*time.Hour
)

// A Key is one key. It prints as ***.
type Key struct {
	Number int // they count up
	Made   time.Time
	secret [32]byte

	derived *sync.Map // purpose -> what For gives; nil for nowhere to keep it
}

// For gives the secret for one purpose; no purpose learns another's. It is shared
// and must not be changed.
func (k Key) For(purpose string) []byte {
	if k.derived == nil {
		return k.derive(purpose)
	}
	secret, ok := k.derived.Load(purpose)
	if !ok {
		secret, _ = k.derived.LoadOrStore(purpose, k.derive(purpose))
	}
	return secret.([]byte)
}

func (k Key) derive(purpose string) []byte {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// String keeps the secret out of logs.
func (k Key) String() string { return fmt.Sprintf("key %d ***", k.Number) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// GoString keeps the secret out of logs.
func (k Key) GoString() string { return k.String() }

// A Store gives the keys. It is safe for concurrent use.
type Store struct {
	db kv.Store

	mu     sync.Mutex // guards what follows; not held while the store is asked
	known  []Key
	since  map[string]time.Time
	loaded time.Time
}

// New makes a Store.
func New(db kv.Store) *Store { return &Store{db: db} }

// fresh is how long what was read is believed: others may renew keys.
const fresh = time.Minute

// Keys gives the keys, the one to sign with first. It makes one if there is
// none, or none that is young enough.
func (s *Store) Keys(ctx context.Context, now time.Time) ([]Key, error) {
	s.mu.Lock()
	known, loaded := s.known, s.loaded
	s.mu.Unlock()
	if len(known) > 0 && now.Sub(loaded).Abs() < fresh && now.Sub(known[0].Made) < rotation {
		return known, nil
	}
	known, since, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 || now.Sub(known[0].Made) >= rotation {
		if known, err = s.renew(ctx, now); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.known, s.since, s.loaded = known, since, now
	s.mu.Unlock()
	return known, nil
}

// read gives the keys, newest first, and since when domains are tagged.
func (s *Store) read(ctx context.Context) (known []Key, since map[string]time.Time, err error) {
	err = s.db.View(ctx, keys.Seals, func(r kv.Reader) error {
		known, err = scan(r)
		if err != nil {
			return err
		}
		since = map[string]time.Time{}
		prefix := []byte{keys.SealSince}
		for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(item.Value) != 9 || item.Value[0] != version {
				return errVersion
			}
			since[string(item.Key[1:])] = time.Unix(int64(binary.BigEndian.Uint64(item.Value[1:])), 0)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read keys of addresses: %w", err)
	}
	return known, since, nil
}

// version is the first octet of every value.
const version = 1

var errVersion = errors.New("record has an unknown version")

// scan reads the keys, newest first.
func scan(r kv.Reader) ([]Key, error) {
	var known []Key
	prefix := []byte{keys.SealKey}
	for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if len(item.Key) != 9 || len(item.Value) != 1+8+32 || item.Value[0] != version {
			return nil, errVersion
		}
		k := Key{
			Number: int(binary.BigEndian.Uint64(item.Key[1:])),
			Made:   time.Unix(int64(binary.BigEndian.Uint64(item.Value[1:])), 0),

			derived: new(sync.Map),
		}
		copy(k.secret[:], item.Value[9:])
		known = append([]Key{k}, known...)
	}
	return known, nil
}

// renew adds a key, unless somebody else has, and drops those of which nothing
// can come back any more.
func (s *Store) renew(ctx context.Context, now time.Time) ([]Key, error) {
	next := Key{Made: now.Truncate(time.Second), derived: new(sync.Map)}
	if _, err := rand.Read(next.secret[:]); err != nil {
		return nil, err
	}
	var known []Key
	err := kv.Apply(ctx, s.db, keys.Seals, func(tx kv.Txn) (err error) {
		if known, err = scan(tx); err != nil {
			return err
		}
		if len(known) > 0 && now.Sub(known[0].Made) < rotation {
			return nil
		}
		k := next
		if len(known) > 0 {
			k.Number = known[0].Number + 1
		}
		value := binary.BigEndian.AppendUint64([]byte{version}, uint64(k.Made.Unix()))
		tx.Put(keyOf(k.Number), append(value, k.secret[:]...))
		known = append([]Key{k}, known...)
		for len(known) > 1 && now.Sub(known[len(known)-1].Made) >= keep {
			tx.Delete(keyOf(known[len(known)-1].Number))
			known = known[:len(known)-1]
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("renew keys of addresses: %w", err)
	}
	return known, nil
}

func keyOf(number int) []byte {
	return binary.BigEndian.AppendUint64([]byte{keys.SealKey}, uint64(number))
}

// Tag notes which domains' senders are tagged from now on; those that are not
// named are no more. A domain that was tagged before keeps its time.
func (s *Store) Tag(ctx context.Context, now time.Time, domains []string) error {
	wanted := map[string]bool{}
	for _, d := range domains {
		wanted[strings.ToLower(d)] = true
	}
	_, since, err := s.read(ctx)
	if err != nil {
		return err
	}
	same := len(since) == len(wanted)
	for d := range wanted {
		_, ok := since[d]
		same = same && ok
	}
	if same {
		return nil
	}
	err = kv.Apply(ctx, s.db, keys.Seals, func(tx kv.Txn) error {
		for d := range since {
			if !wanted[d] {
				tx.Delete(append([]byte{keys.SealSince}, d...))
			}
		}
		for d := range wanted {
			if _, ok := since[d]; !ok {
				tx.Put(append([]byte{keys.SealSince}, d...), binary.BigEndian.AppendUint64([]byte{version}, uint64(now.Unix())))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note tagged domains: %w", err)
	}
	s.mu.Lock()
	s.loaded = time.Time{}
	s.mu.Unlock()
	return nil
}

// TaggedSince tells from when on the senders of a domain are tagged; zero for
// one that is not.
func (s *Store) TaggedSince(ctx context.Context, now time.Time, domain string) (time.Time, error) {
	if _, err := s.Keys(ctx, now); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since[domain], nil
}
