package app

import (
	"testing"
	"time"
)

// Garbage piles up while much is allocated, up to a heap of a bounded size, and
// for some seconds afterwards.
func TestGarbage(t *testing.T) {
	g := newGarbage(1 << 30)
	allocated := int64(0)
	for i, step := range []struct {
		passed          time.Duration
		allocates, live int64
		percent         int
		give            bool
	}{
		{time.Second, 1 << 20, 4 << 20, 1500, false}, // it has just begun
		{quietFor, 1 << 20, 4 << 20, restPercent, true},
		{time.Second, busyRate, 4 << 20, 1500, false},
		{busyTick, busyRate, 9 << 19, 1500, false}, // not worth it
		{busyTick, 0, 16 << 20, 300, false},
		{busyTick, 0, 500 << 20, restPercent + 1, false}, // more than there is room for
		{busyTick, busyRate, 0, 6300, false},
		{quietFor - 1, 1 << 20, 4 << 20, 1500, false},
		{busyTick, 0, 4 << 20, restPercent, true},
		{time.Second, 1 << 20, 4 << 20, restPercent, false},
		{time.Second, worthGiving, 4 << 20, restPercent, false}, // it is going on
		{quietFor - 1, calmRate, 4 << 20, restPercent, false},
		{time.Second, calmRate / 2, 4 << 20, restPercent, true},
		{time.Hour, worthGiving - 1, 4 << 20, restPercent, false}, // not worth it
		{time.Second, 1, 4 << 20, restPercent, true},
	} {
		allocated += step.allocates
		if give := g.next(step.passed, allocated, step.live); g.percent != step.percent || give != step.give {
			t.Errorf("%d: %d, %v, want %d", i, g.percent, give, step.percent)
		}
	}
	if small := newGarbage(256 << 20); small.room != 16<<20 {
		t.Errorf("of 256 MiB, %d octets", small.room)
	}
}
