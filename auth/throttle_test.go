package auth

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/proto/sasl"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
)

func TestSourceOf(t *testing.T) {
	same := [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::2"},
		{"127.0.0.1", "::1"},
		{"127.0.0.1", "127.8.8.8"},
	}
	for _, s := range same {
		if sourceOf(netip.MustParseAddr(s[0])) != sourceOf(netip.MustParseAddr(s[1])) {
			t.Errorf("%s and %s are not one source", s[0], s[1])
		}
	}
	for _, s := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8:1:2::1", "2001:db8:1:3::1"}, {"127.0.0.1", "192.0.2.1"}} {
		if sourceOf(netip.MustParseAddr(s[0])) == sourceOf(netip.MustParseAddr(s[1])) {
			t.Errorf("%s and %s are one source", s[0], s[1])
		}
	}
	if !sourceOf(netip.Addr{}).loopback {
		t.Error("a Unix socket is not this machine")
	}
}

// A throttle's story: each step is an attempt.
func TestThrottle(t *testing.T) {
	at := func(s string) source { return sourceOf(netip.MustParseAddr(s)) }
	type step struct {
		after   time.Duration
		from    source
		about   subject
		right   bool
		times   int
		refused bool // the last of them
	}
	const alice, bob = 1, 2
	home, cafe, loop := at("2001:db8::1"), at("192.0.2.7"), at("127.0.0.1")
	stories := map[string][]step{
		"an address": {
			{0, cafe, alice, false, 3, false},
			{0, cafe, bob, false, 2, false},
			{0, cafe, alice, false, 1, true},
			{0, cafe, bob, true, 1, true}, // right or wrong
			{0, home, bob, true, 1, false},
			{time.Minute, cafe, bob, true, 1, false}, // half is forgotten
		},
		"blocked attempts do not prolong": {
			{0, cafe, alice, false, 5, false},
			{0, cafe, alice, false, 100, true},
			{time.Minute, cafe, alice, false, 1, false},
		},
		"an account, from many addresses": {
			{0, at("192.0.2.1"), alice, false, 4, false},
			{0, at("192.0.2.2"), alice, false, 4, false},
			{0, at("192.0.2.3"), alice, false, 1, true},
			{0, home, alice, true, 1, true},
			{0, home, bob, true, 1, false},
			{time.Second, home, alice, true, 1, false}, // it has decayed a little
			{0, at("192.0.2.3"), alice, false, 1, false},
			{0, at("192.0.2.3"), alice, false, 1, true}, // but not for one more
		},
		"an owner at home is not locked out": {
			{0, home, alice, true, 1, false},
			{0, at("192.0.2.1"), alice, false, 4, false},
			{0, at("192.0.2.2"), alice, false, 4, false},
			{0, at("192.0.2.3"), alice, true, 1, true},
			{0, home, alice, true, 1, false},
			{0, home, alice, false, 5, false},
			{0, home, alice, true, 1, true}, // but has limits too
			{0, home, bob, true, 1, false},  // that are nobody else's
		},
		"this machine is generous, not exempt": {
			{0, loop, alice, false, 7, false},
			{0, loop, bob, false, 7, false},
			{0, loop, 3, false, 6, false},
			{0, loop, 4, true, 1, true},
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			th := newThrottle(Limits{PerAddress: 5, AddressHalfLife: time.Minute,
				PerAccount: 8, AccountHalfLife: 10 * time.Hour, PerLoopback: 20}, nil)
			now := time.Unix(0, 0)
			for i, s := range story {
				now = now.Add(s.after)
				var err error
				for range s.times {
					if err = th.check(s.from, s.about, now); err == nil {
						err = th.settle(s.from, s.about, s.right, now)
					}
				}
				if s.refused != errors.Is(err, sasl.ErrThrottled) || !s.refused && err != nil {
					t.Errorf("step %d: %v, want refused %v", i, err, s.refused)
				}
			}
		})
	}
}

// What peers count outlives the process, and is told to the doors.
func TestThrottleSurvives(t *testing.T) {
	db, now := memkv.New(), time.Unix(1e9, 0)
	var known *peers.Store
	restart := func() *throttle {
		var err error
		if known, err = peers.Open(t.Context(), db, peers.Options{}); err != nil {
			t.Fatal(err)
		}
		return newThrottle(Limits{PerAddress: 5}, known)
	}
	home, loop := sourceOf(netip.MustParseAddr("2001:db8::1")), sourceOf(netip.MustParseAddr("127.0.0.1"))
	th := restart()
	for i := range 5 {
		if err := th.settle(home, subject(i), false, now); err != nil {
			t.Fatal(err)
		}
		if err := th.settle(loop, subject(i), false, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := known.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	th = restart()
	if err := th.check(home, 99, now); !errors.Is(err, sasl.ErrThrottled) {
		t.Errorf("after a restart: %v", err)
	}
	if err := th.check(home, 99, now.Add(10*time.Minute)); err != nil {
		t.Errorf("after ten minutes: %v", err)
	}
	if n := len(known.All(now)); n != 1 {
		t.Errorf("%d peers are known, and this machine is none", n)
	}
}

// Through the front door, in virtual time: unknown users count as known ones,
// and a right password is not told when the limit is reached.
func TestThrottledLogin(t *testing.T) {
	for _, user := range []string{"alice", "nobody", "nobody@elsewhere.test"} {
		synctest.Test(t, func(t *testing.T) {
			a, _, _ := house(t, Options{Limits: Limits{PerAddress: 3, PerAccount: 5}})
			for i := range 4 {
				_, err := a.Password(t.Context(), from("2001:db8::1"), "", user, "wrong")
				if want := []error{sasl.ErrCredentials, sasl.ErrThrottled}[i/3]; err != want {
					t.Fatalf("%s: attempt %d: %v, want %v", user, i, err, want)
				}
			}
			// The same /64, the right password, another mechanism.
			if _, err := a.Password(t.Context(), from("2001:db8::2"), "", "alice", "waxwing"); err != sasl.ErrThrottled {
				t.Errorf("%s: %v", user, err)
			}
			if _, err := a.SCRAM(t.Context(), from("2001:db8::2"), "alice"); err != sasl.ErrThrottled {
				t.Errorf("%s: SCRAM: %v", user, err)
			}
			if _, err := a.SCRAMResult(t.Context(), from("2001:db8::2"), "", "alice", true); err != sasl.ErrThrottled {
				t.Errorf("%s: SCRAMResult: %v", user, err)
			}
			// The account's limit, from another address.
			for i := range 3 {
				_, err := a.SCRAMResult(t.Context(), from("192.0.2.9"), "", user, false)
				if want := []error{sasl.ErrCredentials, sasl.ErrThrottled}[i/2]; err != want {
					t.Errorf("%s: elsewhere, attempt %d: %v, want %v", user, i, err, want)
				}
			}
			time.Sleep(2 * time.Hour)
			if _, err := a.Password(t.Context(), from("2001:db8::2"), "", "alice", "waxwing"); err != nil {
				t.Errorf("%s: two hours later: %v", user, err)
			}
		})
	}
}

// The tables do not grow for ever.
func TestRecentIsBounded(t *testing.T) {
	r := recent[int, int]{limit: 100}
	for i := range 10_000 {
		r.put(i, i)
		r.put(7, 7) // used all the time
		if len(r.young)+len(r.old) > 200 {
			t.Fatalf("%d entries", len(r.young)+len(r.old))
		}
	}
	if v, ok := r.get(7); !ok || v != 7 {
		t.Error("what is used all the time was forgotten")
	}
	if v, ok := r.get(9_999); !ok || v != 9_999 {
		t.Error("the newest was forgotten")
	}
	if _, ok := r.get(8); ok {
		t.Error("the oldest was kept")
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 7) // eight places, two for each source
		sources := []source{
			sourceOf(netip.MustParseAddr("192.0.2.1")), sourceOf(netip.MustParseAddr("192.0.2.2")),
			sourceOf(netip.MustParseAddr("192.0.2.3")), sourceOf(netip.MustParseAddr("192.0.2.4")),
		}
		if err := g.enter(t.Context(), sources[0]); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 8)
		wait := func(s source) { go func() { errs <- g.enter(ctx, s) }(); synctest.Wait() }
		wait(sources[0])
		if err := g.enter(ctx, sources[0]); !errors.Is(err, sasl.ErrTemporary) {
			t.Errorf("a third from one source: %v", err)
		}
		for _, s := range sources[1:] {
			wait(s)
			wait(s)
		}
		if err := g.enter(ctx, source{loopback: true}); !errors.Is(err, sasl.ErrTemporary) {
			t.Errorf("a ninth: %v", err)
		}
		g.leave(sources[0])
		if err := <-errs; err != nil {
			t.Errorf("the place that became free: %v", err)
		}
		cancel()
		for range 6 {
			if err := <-errs; !errors.Is(err, sasl.ErrTemporary) {
				t.Errorf("waiting when the context ended: %v", err)
			}
		}
		if g.all != 1 {
			t.Errorf("%d inside, want the one that was let in", g.all)
		}
	})
}
