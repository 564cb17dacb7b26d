package dkimkeys

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waxwing/test/engine"
)

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

// signing gives the selectors that sign.
func signing(t *testing.T, s *Store, now time.Time) string {
	t.Helper()
	all, err := s.Signing(t.Context(), now, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range all {
		names = append(names, k.Selector)
	}
	return strings.Join(names, " ")
}

// The life of keys over two years, with an operator who publishes and removes
// what is asked for, a day later.
func TestLife(t *testing.T) {
	s, other := open(t), (*Store)(nil)
	other = New(s.db)
	zone := map[string]string{}
	published := func(_ context.Context, k Key) (bool, error) { return zone[k.Name()] == k.Record, nil }
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	used := map[string]bool{}
	for day := range 730 {
		steps, err := []*Store{s, other}[day%2].Advance(t.Context(), now, "Example.ORG", Schedule{}, published)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", step, step, step.Key), "PRIVATE") {
				t.Error("a secret is shown")
			}
			switch step.Key.State {
			case Made:
				zone[step.Key.Name()] = step.Key.Record
			case Retired:
				delete(zone, step.Key.Name())
			}
		}
		names := signing(t, other, now)
		if want := min(day, 1) * 2; len(strings.Fields(names)) != want {
			t.Fatalf("day %d: %q signs", day, names)
		}
		for name := range strings.FieldsSeq(names) {
			used[name] = true
			if zone[name+"._domainkey.example.org"] == "" {
				t.Errorf("day %d: %s signs and is not published", day, name)
			}
		}
		if len(zone) > 4 {
			t.Errorf("day %d: %v", day, zone)
		}
		now = now.Add(24 * time.Hour)
	}
	if len(used) != 10 { // five pairs in 730 days
		t.Errorf("%v", used)
	}
}

// A record that was seen, and is gone before the key is used, has to come back.
func TestRecordVanishes(t *testing.T) {
	s := open(t)
	there := true
	published := func(_ context.Context, k Key) (bool, error) { return k.State == Used || there, nil }
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	turn := func(after time.Duration) string {
		t.Helper()
		now = now.Add(after)
		steps, err := s.Advance(t.Context(), now, "example.org", Schedule{Settle: 3 * time.Hour, Rotate: 1000 * time.Hour, Overlap: time.Hour}, published)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, step := range steps {
			if step.Key.Algorithm == RSA {
				told = append(told, step.What)
			}
		}
		return strings.Join(told, "; ")
	}
	turn(0)
	turn(time.Hour)
	if got := turn(1000 * time.Hour); got != "made: its record is to be published" {
		t.Errorf("the next: %q", got)
	}
	for _, step := range []struct {
		there bool
		after time.Duration
		want  string
	}{
		{true, time.Hour, "its record is published"},
		{false, time.Hour, "its record is not there any more"},
		{false, 4 * time.Hour, ""},
		{true, time.Hour, "its record is published"},
		{true, time.Hour, ""},
		{true, 2 * time.Hour, "it signs now"},
	} {
		there = step.there
		if got := turn(step.after); got != step.want {
			t.Errorf("%+v: %q", step, got)
		}
	}
}

func TestByHand(t *testing.T) {
	s := open(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	nowhere := func(context.Context, Key) (bool, error) { return false, nil }
	if _, err := s.Advance(t.Context(), now, "example.org", Schedule{}, nowhere); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, s, now); got != "" {
		t.Errorf("%q signs", got)
	}
	for _, selector := range []string{"20260101r", "20260101e"} {
		if err := s.Use(t.Context(), now, "example.org", selector); err != nil {
			t.Fatal(err)
		}
	}
	if got := signing(t, s, now); got != "20260101r 20260101e" {
		t.Errorf("%q signs", got)
	}
	if _, err := s.Add(t.Context(), now, "example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(t.Context(), now, "example.org", "20260101r2"); err != nil {
		t.Fatal(err)
	}
	if got := signing(t, s, now); got != "20260101r2 20260101e" {
		t.Errorf("%q signs", got)
	}
	if err := s.Remove(t.Context(), "example.org", "20260101e"); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(t.Context(), now, "example.org", "nothing"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	all, err := s.Keys(t.Context(), "")
	if err != nil || len(all) != 3 || all[0].State != Retired {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.RemoveDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Keys(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	trouble := errors.New("no network")
	if _, err := s.Add(t.Context(), now, "example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Advance(t.Context(), now, "example.org", Schedule{}, func(context.Context, Key) (bool, error) { return false, trouble }); !errors.Is(err, trouble) {
		t.Error(err)
	}
}
