package backup_test

import (
	"testing"

	"waxwing/store/backup"
)

// What comes back is what there was, octet by octet.
func TestRoundTrip(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.fill(t)
	s := d.run(t, h.local(), backup.Options{Host: "here"})
	if s.Partitions != 5 || len(s.Missing) > 0 || s.Written == 0 {
		t.Errorf("%+v", s)
	}
	back := d.restore(t, s.ID)
	same(t, h, back)
	verify(t, back)
}

// The second run writes what is new, and what is little.
func TestIncremental(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.fill(t)
	first := d.run(t, h.local(), backup.Options{})
	h.deliver(t, 2, h.text(4000), h.text(300_000))
	second := d.run(t, h.local(), backup.Options{})
	if second.Written > first.Written/5 {
		t.Errorf("first %d octets, then %d", first.Written, second.Written)
	}
	same(t, h, d.restore(t, second.ID))
	third := d.run(t, h.local(), backup.Options{})
	if third.Written > second.Written/10 {
		t.Errorf("second %d octets, then %d", second.Written, third.Written)
	}
	same(t, h, d.restore(t, third.ID))
	if full := d.run(t, h.local(), backup.Options{Full: true}); full.Written < first.Written {
		t.Errorf("first %d octets, in full %d", first.Written, full.Written)
	}
}
