package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Options say how much is remembered. Zero values stand for the defaults.
type Options struct {
	// MaxPeers is how many networks and accounts are kept, in memory and on
	// the disk: 65,536. One costs some 200 octets.
	MaxPeers int
	// MaxTriples is how many greylisted messages are kept: 65,536.
	MaxTriples int
	// Keep is for how long a peer is remembered that is not seen any more: 60
	// days.
	Keep time.Duration
	// Flush is how often counters are written: every 15 seconds.
	Flush time.Duration
	// Shared says that other nodes write to the store too.
	Shared bool
	Log    *slog.Logger
}

// A Store remembers peers. It is safe for concurrent use.
type Store struct {
	db       kv.Store
	o        Options
	standing atomic.Pointer[standing] // what administrators have said

	changing sync.Mutex // held while rules or pauses are changed or read again

	mu      sync.Mutex // guards what follows
	peers   map[Subject]*peer
	triples map[Triple]*triple
	reached map[Subject]*reached // whom accounts have written to today
}

// A peer is a subject in memory. Its values are as of last.
type peer struct {
	row
	unsaved values // the part of values that the store has not yet, as of last
	dirty   bool
}

// Open gives the Store that is kept in db, with all that it remembers.
func Open(ctx context.Context, db kv.Store, o Options) (*Store, error) {
	orElse(&o.MaxPeers, 1<<16)
	orElse(&o.MaxTriples, 1<<16)
	orElse(&o.Keep, 60*24*time.Hour)
	orElse(&o.Flush, 15*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		db: db, o: o, peers: map[Subject]*peer{}, triples: map[Triple]*triple{}, reached: map[Subject]*reached{},
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("read what is known of peers: %w", err)
	}
	return s, s.reload(ctx)
}

func orElse[T comparable](v *T, preset T) {
	if *v == *new(T) {
		*v = preset
	}
}

// load reads all counters and triples, which the purge keeps within bounds.
func (s *Store) load(ctx context.Context) error {
	return s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		peers, triples := map[Subject]*peer{}, map[Triple]*triple{}
		counts := []byte{keys.PeerCounts}
		for item, err := range r.Scan(counts, kv.PrefixEnd(counts), kv.ScanOptions{Limit: s.o.MaxPeers}) {
			if err != nil {
				return err
			}
			subject, ok := subjectOf(item.Key)
			row, err := decodeRow(item.Value)
			if !ok || err != nil {
				s.o.Log.Warn("a row of peers cannot be read", "key", fmt.Sprintf("%x", item.Key))
				continue
			}
			peers[subject] = &peer{row: row}
		}
		grey := []byte{keys.PeerTriple}
		for item, err := range r.Scan(grey, kv.PrefixEnd(grey), kv.ScanOptions{Limit: s.o.MaxTriples}) {
			if err != nil {
				return err
			}
			if t, err := decodeTriple(item.Value); err == nil && len(item.Key) == 1+len(Triple{}) {
				triples[Triple(item.Key[1:])] = &t
			}
		}
		s.mu.Lock()
		s.peers, s.triples = peers, triples
		s.mu.Unlock()
		return nil
	})
}

// Peer gives how a subject stands.
func (s *Store) Peer(subject Subject, now time.Time) Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[subject]
	if p == nil {
		return Peer{Subject: subject}
	}
	return p.as(subject, now)
}

// as gives the public view of a peer.
func (p *peer) as(subject Subject, now time.Time) Peer {
	v := p.values
	v.decay(now.Sub(time.Unix(0, p.last)))
	known := Peer{Subject: subject, First: time.Unix(0, p.first), Last: time.Unix(0, p.last)}
	for k := range v {
		known.Counts[k] = float64(v[k])
	}
	return known
}

// Add counts n of a kind.
func (s *Store) Add(subject Subject, now time.Time, k Kind, n float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(subject, now, k, n)
}

func (s *Store) add(subject Subject, now time.Time, k Kind, n float64) {
	p := s.peers[subject]
	if p == nil {
		s.makeRoom()
		p = &peer{row: row{first: now.UnixNano(), last: now.UnixNano()}}
		s.peers[subject] = p
	}
	if passed := now.Sub(time.Unix(0, p.last)); passed > 0 {
		p.values.decay(passed)
		p.unsaved.decay(passed)
		p.last = now.UnixNano()
	}
	p.values[k] += float32(n)
	p.unsaved[k] += float32(n)
	p.dirty = true
}

// makeRoom drops one of a few peers, the one that has not been seen for
// longest, where there are too many; the order of a map is random enough. What
// has not been saved of it is lost, which only a flood of new ones brings about.
func (s *Store) makeRoom() {
	if len(s.peers) < s.o.MaxPeers {
		return
	}
	var victim Subject
	oldest, looked := int64(0), 0
	for subject, p := range s.peers {
		age := p.last
		if p.dirty {
			age += int64(time.Hour) // rather one that the disk remembers
		}
		if looked == 0 || age < oldest {
			victim, oldest = subject, age
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(s.peers, victim)
}

// All gives what is known of all subjects, networks in order and before
// accounts.
func (s *Store) All(now time.Time) []Peer {
	s.mu.Lock()
	all := make([]Peer, 0, len(s.peers))
	for subject, p := range s.peers {
		all = append(all, p.as(subject, now))
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b Peer) int {
		x, y := a.Subject, b.Subject
		switch {
		case x.account != y.account:
			return int(min(max(int64(x.account)-int64(y.account), -1), 1))
		case x.network.Addr() != y.network.Addr():
			return x.network.Addr().Compare(y.network.Addr())
		}
		return x.network.Bits() - y.network.Bits()
	})
	return all
}

// Forget forgets what has been counted in a network.
func (s *Store) Forget(ctx context.Context, network netip.Prefix) error {
	return s.forget(ctx, func(other Subject) bool {
		return other.network.IsValid() && network.Overlaps(other.network)
	})
}

// forget forgets subjects.
func (s *Store) forget(ctx context.Context, which func(Subject) bool) error {
	s.mu.Lock()
	var gone []Subject
	for subject := range s.peers {
		if which(subject) {
			gone = append(gone, subject)
			delete(s.peers, subject)
			delete(s.reached, subject)
		}
	}
	s.mu.Unlock()
	for some := range slices.Chunk(gone, batch) {
		err := kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
			for _, subject := range some {
				tx.Delete(subject.key())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Run writes what is counted, and purges, until ctx ends. It writes once more
// then. It runs once at a time.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Flush)
	defer tick.Stop()
	purged := time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return s.Flush(last)
		case <-tick.C:
		}
		errs := []error{s.Flush(ctx)}
		if s.o.Shared {
			errs = append(errs, s.reload(ctx))
		}
		if now := time.Now(); now.Sub(purged) >= time.Hour {
			purged = now
			errs = append(errs, s.Purge(ctx, now))
		}
		// Counting goes on in memory, and the next turn tries again.
		if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
			s.o.Log.Error("what is known of peers cannot be written", obs.Err, err)
		}
	}
}
