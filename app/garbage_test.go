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
	}{
		{time.Second, 1 << 20, 4 << 20, 1500}, // it has just begun
		{quietFor, 1 << 20, 4 << 20, restPercent},
		{time.Second, busyRate, 4 << 20, 1500},
		{busyTick, busyRate, 9 << 19, 1500}, // not worth it
		{busyTick, 0, 16 << 20, 300},
		{busyTick, 0, 500 << 20, restPercent + 1}, // more than there is room for
		{busyTick, busyRate, 0, 6300},
		{quietFor - 1, 1 << 20, 4 << 20, 1500},
		{busyTick, 0, 4 << 20, restPercent},
		{time.Second, 1 << 20, 4 << 20, restPercent},
	} {
		allocated += step.allocates
		if g.next(step.passed, allocated, step.live); g.percent != step.percent {
			t.Errorf("%d: %d, want %d", i, g.percent, step.percent)
		}
	}
	if small := newGarbage(256 << 20); small.room != 16<<20 {
		t.Errorf("of 256 MiB, %d octets", small.room)
	}
}
