package sealkeys

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"waxwing/test/engine"
)

func TestRotation(t *testing.T) {
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, other := New(db), New(db)
	seen := map[string]bool{}
	for day := range 200 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		a, err := s.Keys(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		b, err := other.Keys(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if len(a) == 0 || len(a) > 3 || !bytes.Equal(a[0].For("x"), b[0].For("x")) || now.Sub(a[0].Made) >= rotation {
			t.Fatalf("day %d: %v, %v", day, a, b)
		}
		seen[string(a[0].For("x"))] = true
		if bytes.Equal(a[0].For("x"), a[0].For("y")) {
			t.Fatal("one secret for two purposes")
		}
		// What was signed three weeks ago is still known.
		for _, k := range a {
			if now.Sub(k.Made) > keep+rotation {
				t.Errorf("day %d: a key of %s", day, k.Made)
			}
		}
		for _, text := range []string{fmt.Sprintf("%v", a[0]), fmt.Sprintf("%+v", a[0]), fmt.Sprintf("%#v", a[0])} {
			if text != fmt.Sprintf("key %d ***", a[0].Number) {
				t.Fatalf("a key prints as %s", text)
			}
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d keys in 200 days", len(seen))
	}
}

func TestTagged(t *testing.T) {
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := New(db)
	for i, step := range []struct {
		domains []string
		want    map[string]int // the step from which on it is tagged; -1 for not
	}{
		{nil, map[string]int{"a.test": -1}},
		{[]string{"a.test"}, map[string]int{"a.test": 1, "b.test": -1}},
		{[]string{"A.test", "b.test"}, map[string]int{"a.test": 1, "b.test": 2}},
		{[]string{"b.test"}, map[string]int{"a.test": -1, "b.test": 2}},
		{[]string{"a.test", "b.test"}, map[string]int{"a.test": 4, "b.test": 2}},
	} {
		at := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
		if err := s.Tag(t.Context(), at(i), step.domains); err != nil {
			t.Fatal(err)
		}
		for domain, n := range step.want {
			since, err := s.TaggedSince(t.Context(), at(i), domain)
			if err != nil || since.IsZero() != (n < 0) || n >= 0 && !since.Equal(at(n)) {
				t.Errorf("step %d: %s since %s, %v", i, domain, since, err)
			}
		}
	}
}
