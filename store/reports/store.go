package reports

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Kind is what a report is about.
type Kind byte

// The kinds.
const (
	DMARC   Kind = 'd' // aggregate reports, RFC 9990
	TLS     Kind = 't' // RFC 8460
	Failure Kind = 'f' // of single messages, RFC 9991
)

// String gives the kind in a word.
func (k Kind) String() string {
	switch k {
	case DMARC:
		return "dmarc"
	case TLS:
		return "tls"
	case Failure:
		return "failure"
	}
	return "unknown"
}

// Options say how much is kept. Zero values stand for the defaults.
type Options struct {
	// Keep is for how long reports of others are kept: 180 days.
	Keep time.Duration
	// MaxOctets is how much room they may take: 512 MiB.
	MaxOctets int64
	// MaxPending is how many rows are in memory that are not written yet:
	// 20,000.
	MaxPending int
	// MaxDomains is how many domains a day may have: 20,000; MaxRows how many
	// rows a domain may have in a day: 10,000; MaxDay how many all have:
	// 500,000.
	MaxDomains, MaxRows, MaxDay int
	// MaxMail is how many octets of mail may wait to be read: 128 MiB.
	MaxMail int64
	// Flush is how often counts are written: every 15 seconds.
	Flush time.Duration
	Log   *slog.Logger
}

// A Store keeps reports. It is safe for concurrent use.
type Store struct {
	db      kv.Store
	o       Options
	arrived chan struct{} // holds a token when mail may be waiting
	full    chan struct{} // holds a token when it is time to write

	flushing sync.Mutex // held while counts are written

	mu      sync.Mutex // guards what follows
	pending map[Subject]*gathered
	rows    int   // in pending
	lost    int64 // counted when there was no room
}

// New makes a Store on db. It does no I/O.
func New(db kv.Store, o Options) *Store {
	orElse(&o.Keep, 180*24*time.Hour)
	orElse(&o.MaxOctets, 512<<20)
	orElse(&o.MaxPending, 20_000)
	orElse(&o.MaxDomains, 20_000)
	orElse(&o.MaxRows, 10_000)
	orElse(&o.MaxDay, 500_000)
	orElse(&o.MaxMail, 128<<20)
	orElse(&o.Flush, 15*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{
		db: db, o: o, arrived: make(chan struct{}, 1), full: make(chan struct{}, 1), pending: map[Subject]*gathered{},
	}
}

func orElse[T comparable](v *T, preset T) {
	if *v == *new(T) {
		*v = preset
	}
}

// Run writes what is counted, and purges, until ctx ends. It writes once more
// then. It runs once at a time.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Flush)
	defer tick.Stop()
	var purged time.Time
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return s.Flush(last)
		case <-tick.C:
		case <-s.full:
		}
		err := s.Flush(ctx)
		if now := time.Now(); now.Sub(purged) >= time.Hour {
			purged = now
			err = errors.Join(err, s.Purge(ctx, now))
		}
		// Counting goes on in memory, and the next turn tries again.
		if err != nil && ctx.Err() == nil {
			s.o.Log.Error("what is counted for reports cannot be written", obs.Err, err)
		}
	}
}

// Purge removes what is too old.
func (s *Store) Purge(ctx context.Context, now time.Time) error {
	return errors.Join(s.purgeDays(ctx, now), s.purgeKept(ctx, now), s.purgeMail(ctx, now))
}

// poke puts a token into a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// version is the first octet of every value.
const version = 1

var errRecord = errors.New("a record of reports has an unknown form")

func encode(v any) ([]byte, error) {
	b, err := cbor.Marshal(v)
	return append([]byte{version}, b...), err
}

func decode(b []byte, v any) error {
	if len(b) == 0 || b[0] != version {
		return errRecord
	}
	return cbor.Unmarshal(b[1:], v)
}

// hashSize is how much of a hash stands in keys.
const hashSize = 16

// hash gives what stands in keys for texts of any length.
func hash(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p)))) // never fails
		_, _ = h.Write([]byte(p))
	}
	return h.Sum(nil)[:hashSize]
}

// apply runs a transaction on the partition.
func (s *Store) apply(ctx context.Context, fn func(kv.Txn) error) error {
	return kv.Apply(ctx, s.db, keys.Reports, fn)
}

// view reads the partition.
func (s *Store) view(ctx context.Context, fn func(kv.Reader) error) error {
	return s.db.View(ctx, keys.Reports, fn)
}

// batch is how many rows one transaction deletes or writes.
const batch = 1000

// deleteAll deletes the keys of a range, in transactions of some size, up to a
// key for which stop holds.
func (s *Store) deleteAll(ctx context.Context, lo, hi []byte, stop func(key []byte) bool) error {
	for {
		var found [][]byte
		err := s.view(ctx, func(r kv.Reader) error {
			found = nil
			for item, err := range r.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: batch}) {
				if err != nil {
					return err
				}
				if stop != nil && stop(item.Key) {
					break
				}
				found = append(found, append([]byte(nil), item.Key...))
			}
			return nil
		})
		if err != nil || len(found) == 0 {
			return err
		}
		err = s.apply(ctx, func(tx kv.Txn) error {
			for _, key := range found {
				tx.Delete(key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		lo = append(found[len(found)-1], 0)
	}
}
