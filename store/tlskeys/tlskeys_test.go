package tlskeys

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/test/engine"
)

var schedule = Schedule{Rotate: 365 * 24 * time.Hour, Settle: 3 * time.Hour, Keep: 100 * 24 * time.Hour}

func open(t *testing.T) *Store {
	t.Helper()
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(db)
}

func states(t *testing.T, s *Store, host string) string {
	t.Helper()
	all, err := s.Keys(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range all {
		names = append(names, string(k.State))
	}
	return strings.Join(names, " ")
}

// The certificate is renewed for two and a half years, with an operator who publishes
// what he is told to a few days later and removes what is gone. Whoever has seen
// the records within their TTL finds the key of the certificate among them, at
// every hour.
func TestLife(t *testing.T) {
	const (
		host = "mx.example.org"
		ttl  = 80 * time.Hour
		pace = 40 * time.Hour // in which the test goes
	)
	s := open(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.Begin(t.Context(), now, host, nil); err != nil {
		t.Fatal(err)
	}
	zone := map[string]bool{}         // what the DNS has, by public key
	remembered := []map[string]bool{} // what it had, as long as it is remembered
	publish := map[time.Time]string{} // what the operator is about to publish
	remove := map[time.Time]string{}  // and to remove
	look := func(_ context.Context, k Key) (Sight, error) {
		return Sight{None: len(zone) == 0, There: zone[string(k.SPKI())], TTL: ttl}, nil
	}
	first, err := s.Wanted(t.Context(), now, host, schedule)
	if err != nil {
		t.Fatal(err)
	}
	shown, renewed, rollovers := first.SPKI(), now, 0
	publish[now.Add(pace)] = string(shown)
	for n := range 900 * 24 * time.Hour / pace {
		now := now.Add(n * pace)
		if key, ok := publish[now]; ok {
			zone[key] = true
		}
		if key, ok := remove[now]; ok {
			delete(zone, key)
		}
		remembered = append(remembered, copyOf(zone))
		if len(remembered) > int(ttl/pace) {
			remembered = remembered[1:]
		}
		steps, err := s.Advance(t.Context(), now, host, schedule, shown, look)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			switch step.Key.State {
			case Made:
				keys, err := s.Keys(t.Context(), host)
				if err != nil {
					t.Fatal(err)
				}
				publish[now.Add(5*pace)] = string(keys[len(keys)-1].SPKI())
			case Retired:
				remove[now.Add(3*pace)] = string(step.Key.SPKI())
			}
		}
		if now.Sub(renewed) >= 60*24*time.Hour {
			key, err := s.Wanted(t.Context(), now, host, schedule)
			if err != nil {
				t.Fatal(err)
			}
			if string(key.SPKI()) != string(shown) {
				rollovers++
			}
			shown, renewed = key.SPKI(), now
		}
		if n < 5 {
			continue // the first record is being published
		}
		for _, seen := range remembered {
			if !seen[string(shown)] {
				t.Fatalf("%v: somebody remembers records without the certificate's key; %s", now, states(t, s, host))
			}
		}
	}
	if rollovers != 2 {
		t.Errorf("%d rollovers", rollovers)
	}
	if got := states(t, s, host); !strings.HasSuffix(got, "used published") {
		t.Errorf("at the end: %s", got)
	}
}

func copyOf(m map[string]bool) map[string]bool {
	c := map[string]bool{}
	for k := range m {
		c[k] = true
	}
	return c
}

// A key whose record is not there is never wanted, whoever asks for it; one whose
// record disappears is not wanted any more.
func TestWaits(t *testing.T) {
	const host = "mx.example.org"
	s := open(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sight, failed := Sight{TTL: 5 * time.Hour}, error(nil)
	look := func(context.Context, Key) (Sight, error) { return sight, failed }
	shown := []byte(nil)
	advance := func() {
		t.Helper()
		if _, err := s.Advance(t.Context(), now, host, schedule, shown, look); !errors.Is(err, failed) {
			t.Fatal(err)
		}
	}
	wanted := func() string {
		t.Helper()
		k, err := s.Wanted(t.Context(), now, host, schedule)
		if err != nil {
			t.Fatal(err)
		}
		return string(k.State)
	}
	advance() // nothing to do
	if err := s.Begin(t.Context(), now, host, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), now, host, nil); err != nil || states(t, s, host) != "used" {
		t.Fatal(err, states(t, s, host))
	}
	all, err := s.Keys(t.Context(), "MX.Example.org.")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	shown = all[0].SPKI()
	advance()
	all, err = s.Keys(t.Context(), host)
	if err != nil || states(t, s, host) != "used made" {
		t.Fatal(err, states(t, s, host))
	}
	next := all[1].Name
	if err := s.Use(t.Context(), host, all[0].Name); !errors.Is(err, ErrNotFound) {
		t.Errorf("the key in use: %v", err)
	}
	if err := s.Use(t.Context(), host, next); err != nil {
		t.Fatal(err)
	}
	now = now.Add(1000 * 24 * time.Hour)
	if advance(); wanted() != "used" {
		t.Error("a key that is not published is wanted")
	}
	sight.There = true
	if advance(); wanted() != "used" {
		t.Error("a key that was just published is wanted")
	}
	if now = now.Add(9 * time.Hour); wanted() != "used" {
		t.Error("a key is wanted before two TTLs have passed")
	}
	if now = now.Add(time.Hour); wanted() != "published" {
		t.Error("a key is not wanted after two TTLs")
	}
	sight.There = false
	if advance(); wanted() != "used" || states(t, s, host) != "used made" {
		t.Error("a key whose record has gone is wanted")
	}
	failed = errors.New("the DNS does not answer")
	advance()
	failed, sight = nil, Sight{None: true}
	if advance(); wanted() != "published" {
		t.Error("without records, a key is not wanted at once")
	}
	sight = Sight{There: true, TTL: time.Hour}
	if advance(); wanted() != "used" {
		t.Error("records have come, and the key is wanted at once")
	}
	if now = now.Add(3 * time.Hour); wanted() != "published" {
		t.Error("a key is not wanted after a while")
	}
	sight = Sight{}
	if advance(); wanted() != "used" {
		t.Error("records without the key have come, and it is wanted")
	}
	sight = Sight{None: true}
	advance()
	k, err := s.Wanted(t.Context(), now, host, schedule)
	if err != nil {
		t.Fatal(err)
	}
	shown = k.SPKI()
	if advance(); states(t, s, host) != "retired used made" {
		t.Error(states(t, s, host))
	}
	now = now.Add(schedule.Keep)
	if advance(); states(t, s, host) != "used published" {
		t.Error(states(t, s, host))
	}
	if got := states(t, s, "other.example.org"); got != "" {
		t.Errorf("another host has %s", got)
	}
}

// A key that a certificate had before is taken over, and no secret is shown.
func TestTakenOver(t *testing.T) {
	s := open(t)
	private, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), time.Now(), "mx.example.org", private); err != nil {
		t.Fatal(err)
	}
	all, err := s.Keys(t.Context(), "mx.example.org")
	if err != nil || len(all) != 1 || !all[0].Private().Public().(*ecdsa.PublicKey).Equal(private.Public()) {
		t.Fatal(all, err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", all[0], all, all[0], all[0].LogValue()); !strings.Contains(text, "mx.example.org") || slices.Contains(strings.Fields(text), "private") {
		t.Error(text)
	}
}
