package peers_test

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/peers"
)

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	host = netip.MustParseAddr("192.0.2.7")
)

func open(t *testing.T, db kv.Store, o peers.Options) *peers.Store {
	t.Helper()
	s, err := peers.Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// about compares counters, which are kept with few digits.
func about(a, b float64) bool { return math.Abs(a-b) <= 0.001*math.Max(1, b) }

func TestSubjects(t *testing.T) {
	for _, tt := range []struct{ a, b string }{
		{"192.0.2.7", "::ffff:192.0.2.7"},
		{"2001:db8::1", "2001:db8::ffff:1"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	} {
		if a, b := peers.OfAddress(netip.MustParseAddr(tt.a)), peers.OfAddress(netip.MustParseAddr(tt.b)); a != b {
			t.Errorf("%s is %v, %s is %v", tt.a, a, tt.b, b)
		}
	}
	if a, b := peers.OfAddress(host), peers.OfAddress(host.Next()); a == b {
		t.Error("two IPv4 addresses are one subject")
	}
	if a, b := peers.OfNeighbourhood(host), peers.OfNeighbourhood(host.Next()); a != b {
		t.Error("neighbours are not")
	}
	for name, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7/24": "192.0.2.0/24", "[2001:DB8::1]": "2001:db8::1", "2001:db8::/32": "2001:db8::/32",
		"Example.COM.": "example.com", "*.example.com": "example.com", "com": "com",
	} {
		network, domain, ok := peers.Canonical(name)
		got := domain
		if network.IsValid() {
			got = peers.Name(network)
		}
		if !ok || got != want {
			t.Errorf("Canonical(%q) = %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "a b", "1.2.3", "a..b", "-", "ann@example.com", "::ffff:192.0.2.1/120"} {
		if network, domain, ok := peers.Canonical(name); ok {
			t.Errorf("Canonical(%q) = %v, %q", name, network, domain)
		}
	}
}

// After its window a third (1/e) of a counter is left; what comes steadily
// stands at the number of one window.
func TestDecay(t *testing.T) {
	s := open(t, memkv.New(), peers.Options{})
	subject := peers.OfAddress(host)
	s.Add(subject, now, peers.Unknown, 10)
	for _, tt := range []struct {
		after time.Duration
		want  float64
	}{{0, 10}, {time.Hour, 10 / math.E}, {-time.Hour, 10}, {100 * time.Hour, 0}} {
		if got := s.Peer(subject, now.Add(tt.after)).Counts[peers.Unknown]; !about(got, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.after, got, tt.want)
		}
	}
	at := now
	for range 60 * 24 {
		at = at.Add(time.Minute)
		s.Add(subject, at, peers.Messages, 1)
	}
	if got := s.Peer(subject, at).Counts[peers.Messages]; got < 59 || got > 61 {
		t.Errorf("one message a minute stands at %v in an hour", got)
	}
}

// A login that failed is half forgotten after ten minutes.
func TestFailedLoginsHalfLife(t *testing.T) {
	s := open(t, memkv.New(), peers.Options{})
	s.Add(peers.OfAddress(host), now, peers.FailedLogins, 8)
	if got := s.Peer(peers.OfAddress(host), now.Add(10*time.Minute)).Counts[peers.FailedLogins]; !about(got, 4) {
		t.Errorf("%v are left", got)
	}
}

// engines are what counters survive on.
func engines(t *testing.T, fn func(t *testing.T, db kv.Store)) {
	t.Run("memory", func(t *testing.T) { fn(t, memkv.New()) })
	t.Run("far", func(t *testing.T) { fn(t, kvtest.Far(memkv.New(), 0)) })
	t.Run("pebble", func(t *testing.T) {
		db, err := pebblekv.Open(t.TempDir(), pebblekv.Options{})
		check(t, err)
		t.Cleanup(func() { check(t, db.Close()) })
		fn(t, db)
	})
}

// What has been flushed is there after a restart, for networks, accounts and
// triples.
func TestRestart(t *testing.T) {
	engines(t, func(t *testing.T, db kv.Store) {
		s := open(t, db, peers.Options{})
		six := peers.OfAddress(netip.MustParseAddr("2001:db8::1"))
		subjects := []peers.Subject{peers.OfAddress(host), six, peers.OfNeighbourhood(host), peers.OfAccount(7)}
		for i, subject := range subjects {
			s.Add(subject, now, peers.Delivered, float64(i+1))
		}
		triple := peers.TripleOf(subjects[2], "a", "b")
		if _, _, err := s.Attempt(t.Context(), triple, now); err != nil {
			t.Fatal(err)
		}
		check(t, s.Flush(t.Context()))
		s.Add(subjects[0], now, peers.Spam, 1)
		check(t, s.Flush(t.Context()))

		s = open(t, db, peers.Options{})
		for i, subject := range subjects {
			p := s.Peer(subject, now)
			if !about(p.Counts[peers.Delivered], float64(i+1)) || !p.First.Equal(now) {
				t.Errorf("%v: %+v", subject, p)
			}
		}
		if got := s.Peer(subjects[0], now).Counts[peers.Spam]; !about(got, 1) {
			t.Errorf("spam stands at %v", got)
		}
		later := now.Add(time.Minute)
		if first, passed, err := s.Attempt(t.Context(), triple, later); err != nil || passed || !first.Equal(now) {
			t.Errorf("the triple came first at %v, %v, %v", first, passed, err)
		}
		all := s.All(now)
		if len(all) != 4 || all[3].Subject.Account() != 7 || all[0].Subject != subjects[2] {
			t.Errorf("all: %v", all)
		}
	})
}

// Two nodes that count for the same peer both know the sum, after each has
// written once.
func TestShared(t *testing.T) {
	engines(t, func(t *testing.T, db kv.Store) {
		a, b := open(t, db, peers.Options{Shared: true}), open(t, db, peers.Options{Shared: true})
		subject := peers.OfAddress(host)
		a.Add(subject, now, peers.Unknown, 3)
		b.Add(subject, now, peers.Unknown, 4)
		check(t, a.Flush(t.Context()))
		check(t, b.Flush(t.Context()))
		if got := b.Peer(subject, now).Counts[peers.Unknown]; !about(got, 7) {
			t.Errorf("b knows %v", got)
		}
		a.Add(subject, now, peers.Unknown, 1)
		check(t, a.Flush(t.Context()))
		if got := a.Peer(subject, now).Counts[peers.Unknown]; !about(got, 8) {
			t.Errorf("a knows %v", got)
		}
		// A message that one node has put off comes back to the other.
		triple := peers.TripleOf(subject, "a", "b")
		if _, _, err := a.Attempt(t.Context(), triple, now); err != nil {
			t.Fatal(err)
		}
		check(t, a.Flush(t.Context()))
		if first, _, err := b.Attempt(t.Context(), triple, now.Add(time.Minute)); err != nil || !first.Equal(now) {
			t.Errorf("first at %v, %v", first, err)
		}
	})
}

// failing is a store that cannot write while it is told so.
type failing struct {
	kv.Store
	broken bool
}

func (f *failing) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if f.broken {
		return nil, errors.New("disk full")
	}
	return f.Store.Update(ctx, p, fn)
}

// What could not be written is written the next time, and only once.
func TestFlushFails(t *testing.T) {
	db := &failing{Store: memkv.New(), broken: true}
	s := open(t, db, peers.Options{})
	subject := peers.OfAddress(host)
	s.Add(subject, now, peers.Unknown, 3)
	if err := s.Flush(t.Context()); err == nil {
		t.Fatal("written to a full disk")
	}
	s.Add(subject, now, peers.Unknown, 1)
	db.broken = false
	check(t, s.Flush(t.Context()))
	check(t, s.Flush(t.Context()))
	if got := open(t, db, peers.Options{}).Peer(subject, now).Counts[peers.Unknown]; !about(got, 4) {
		t.Errorf("%v have been written", got)
	}
}

// A flood of new peers neither fills the memory nor the disk, and what has not
// been seen for long is purged.
func TestBounds(t *testing.T) {
	db := memkv.New()
	s := open(t, db, peers.Options{MaxPeers: 50, MaxTriples: 50})
	a := netip.MustParseAddr("198.51.100.0")
	for i := range 200 {
		at := now.Add(time.Duration(i) * time.Second)
		s.Add(peers.OfAddress(a), at, peers.Connections, 1)
		_, _, err := s.Attempt(t.Context(), peers.TripleOf(peers.OfAddress(a), "x", "y"), at)
		check(t, err)
		if i%20 == 0 {
			check(t, s.Flush(t.Context()))
		}
		a = a.Next()
	}
	check(t, s.Flush(t.Context()))
	if n := len(s.All(now)); n > 50 {
		t.Errorf("%d peers are in memory", n)
	}
	check(t, s.Purge(t.Context(), now.Add(time.Hour)))
	if n := rows(t, db, keys.PeerCounts); n > 50 {
		t.Errorf("%d peers are on the disk", n)
	}
	if n := rows(t, db, keys.PeerTriple); n > 50 {
		t.Errorf("%d triples are on the disk", n)
	}
	check(t, s.Purge(t.Context(), now.Add(100*24*time.Hour)))
	if n := rows(t, db, keys.PeerCounts) + rows(t, db, keys.PeerTriple) + len(s.All(now)); n > 0 {
		t.Errorf("%d are left after a hundred days", n)
	}
}

func rows(t *testing.T, db kv.Store, prefix byte) (n int) {
	t.Helper()
	check(t, db.View(t.Context(), keys.Peers, func(r kv.Reader) error {
		for _, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

// A triple that has passed stays; one that never came back is forgotten.
func TestTriples(t *testing.T) {
	s := open(t, memkv.New(), peers.Options{})
	day := 24 * time.Hour
	one, two := peers.TripleOf(peers.OfAddress(host), "a", "b"), peers.TripleOf(peers.OfAddress(host), "a", "c")
	for _, triple := range []peers.Triple{one, two} {
		_, _, err := s.Attempt(t.Context(), triple, now)
		check(t, err)
	}
	s.Pass(one, now.Add(time.Hour))
	for triple, want := range map[peers.Triple]bool{one: true, two: false} {
		first, passed, err := s.Attempt(t.Context(), triple, now.Add(3*day))
		if err != nil || passed != want || first.Equal(now) != want {
			t.Errorf("%v, %v, %v; want %v", first, passed, err, want)
		}
	}
}

// Run writes in batches and once more at its end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New()
		s := open(t, db, peers.Options{Flush: 15 * time.Second})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		s.Add(peers.OfAddress(host), time.Now(), peers.Delivered, 1)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if rows(t, db, keys.PeerCounts) != 1 {
			t.Error("not written after 16 seconds")
		}
		s.Add(peers.OfAccount(1), time.Now(), peers.Messages, 1)
		stop()
		check(t, <-ended)
		if rows(t, db, keys.PeerCounts) != 2 {
			t.Error("the last ones are lost")
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	s, err := peers.Open(b.Context(), memkv.New(), peers.Options{})
	if err != nil {
		b.Fatal(err)
	}
	subject := peers.OfAddress(host)
	b.ReportAllocs()
	at := now
	for b.Loop() {
		at = at.Add(time.Millisecond)
		s.Add(subject, at, peers.Delivered, 1)
	}
}
