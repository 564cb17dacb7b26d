package peers_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
)

// The smallest network counts, and the nearest domain; rules end with their
// time, and survive a restart.
func TestRules(t *testing.T) {
	engines(t, func(t *testing.T, db kv.Store) {
		s := open(t, db, peers.Options{})
		for _, r := range []peers.Rule{
			{Name: "192.0.0.0/16"},
			{Name: "192.0.2.0/24", Allow: true},
			{Name: "192.0.2.9"},
			{Name: "198.51.100.0/24", Until: now.Add(time.Hour)},
			{Name: "2001:db8::/32"},
			{Name: "example.com", Reason: "spam"},
			{Name: "Good.Example.com.", Allow: true},
		} {
			r.Created = now
			_, err := s.SetRule(t.Context(), r)
			check(t, err)
		}
		for range 2 {
			for addr, want := range map[string]string{
				"192.0.1.1": "192.0.0.0/16", "192.0.2.1": "192.0.2.0/24", "192.0.2.9": "192.0.2.9",
				"::ffff:192.0.2.9": "192.0.2.9", "198.51.100.1": "198.51.100.0/24", "2001:db8::1": "2001:db8::/32", "203.0.113.1": "",
			} {
				if got, _ := s.RuleForAddress(netip.MustParseAddr(addr), now); got.Name != want {
					t.Errorf("%s: %q, want %q", addr, got.Name, want)
				}
			}
			for domain, want := range map[string]string{
				"example.com": "example.com", "a.b.example.com": "example.com", "x.good.example.com": "good.example.com",
				"notexample.com": "", "com": "", "": "",
			} {
				if got, _ := s.RuleForDomain(domain, now); got.Name != want {
					t.Errorf("%s: %q, want %q", domain, got.Name, want)
				}
			}
			if rule, ok := s.RuleForAddress(netip.MustParseAddr("198.51.100.1"), now.Add(time.Hour)); ok {
				t.Errorf("%v still holds", rule)
			}
			if n := len(s.Rules(now)); n != 7 {
				t.Errorf("%d rules", n)
			}
			s = open(t, db, peers.Options{})
		}
		check(t, s.Purge(t.Context(), now.Add(2*time.Hour)))
		if n := len(s.Rules(now)); n != 6 {
			t.Errorf("%d rules are left", n)
		}
		check(t, s.DeleteRule(t.Context(), "EXAMPLE.com"))
		if err := s.DeleteRule(t.Context(), "example.com"); !errors.Is(err, peers.ErrNoRule) {
			t.Errorf("deleted again: %v", err)
		}
		if _, err := s.SetRule(t.Context(), peers.Rule{Name: "a b"}); !errors.Is(err, peers.ErrName) {
			t.Errorf("a name with a space: %v", err)
		}
	})
}

func TestPauses(t *testing.T) {
	engines(t, func(t *testing.T, db kv.Store) {
		s := open(t, db, peers.Options{})
		for i, want := range []bool{true, false} {
			begun, err := s.Pause(t.Context(), peers.Pause{Account: 7, Reason: fmt.Sprint(i), Since: now})
			if err != nil || begun != want {
				t.Errorf("pause %d: %v, %v", i, begun, err)
			}
		}
		s = open(t, db, peers.Options{})
		if p, ok := s.Paused(7); !ok || p.Reason != "0" || !p.Since.Equal(now) || len(s.Pauses()) != 1 {
			t.Errorf("%+v, %v", p, ok)
		}
		s.Sent(peers.OfAccount(7), now, []string{"a", "b"})
		check(t, s.Flush(t.Context()))
		check(t, s.Resume(t.Context(), 7))
		if _, ok := s.Paused(7); ok || s.Peer(peers.OfAccount(7), now).Counts[peers.SentToday] != 0 {
			t.Error("still paused, or still remembered")
		}
		if err := s.Resume(t.Context(), 7); !errors.Is(err, peers.ErrNotPaused) {
			t.Errorf("resumed again: %v", err)
		}
	})
}

// Recipients count once a day each, and the sketch tells enough of them apart.
func TestSent(t *testing.T) {
	s := open(t, memkv.New(), peers.Options{})
	account := peers.OfAccount(7)
	count := func(at time.Time) float64 { return s.Peer(account, at).Counts[peers.SentToday] }
	for range 5 {
		s.Sent(account, now, []string{"a@x", "b@x"})
	}
	if got := count(now); got < 1.99 || got > 2.01 {
		t.Errorf("two addresses count %v", got)
	}
	if !s.WroteTo(account, "a@x") || s.WroteTo(account, "z@x") || s.WroteTo(peers.OfAccount(8), "a@x") {
		t.Error("the sketch does not know whom it has seen")
	}
	for i := range 5000 {
		s.Sent(account, now, []string{fmt.Sprintf("%d@x", i)})
	}
	if got := count(now); got < 4700 || got > 5300 {
		t.Errorf("5002 addresses count %v", got)
	}
	before := count(now.Add(25 * time.Hour))
	s.Sent(account, now.Add(25*time.Hour), []string{"a@x"})
	if got := count(now.Add(25*time.Hour)) - before; got < 0.9 {
		t.Errorf("the next day the same address counts %v", got)
	}
}
