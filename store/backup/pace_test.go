package backup

import (
	"testing"
	"time"
)

func TestRest(t *testing.T) {
	if restFor(paceMost/100, time.Millisecond, false, paceMost) != 0 || restFor(paceMost/100, time.Second, true, paceMost) != 0 {
		t.Error("it rests without need")
	}
	if rest := restFor(paceMost/100, 4*time.Millisecond, true, paceMost).Round(time.Millisecond); rest != 6*time.Millisecond {
		t.Error(rest)
	}
}

// Reading slows down when commits become slower by it, becomes quick again when
// they do, and never stops.
func TestEase(t *testing.T) {
	var e ease
	now := time.Unix(1e9, 0)
	commits := func(n int, reading bool, took func(i int) time.Duration) {
		for i := range n {
			now = now.Add(20 * time.Millisecond)
			if reading {
				e.rate(now)
			}
			e.note(now, took(i))
		}
	}
	steady := func(i int) time.Duration { // one of ten is a slow one
		if i%10 == 0 {
			return 3 * time.Millisecond
		}
		return time.Millisecond
	}
	if e.rate(now) != paceMost {
		t.Error("it begins slowly")
	}
	now = now.Add(time.Minute)
	commits(3000, false, steady)
	if usual := time.Duration(e.usual); usual < 900*time.Microsecond || usual > 3*time.Millisecond {
		t.Errorf("usual is %v", usual)
	}
	commits(500, true, steady)
	if r := e.rate(now); r < paceMost*9/10 {
		t.Errorf("%d a second while nobody suffers", r)
	}
	commits(500, true, func(int) time.Duration { return 6 * time.Millisecond })
	if r := e.rate(now); r != paceLeast {
		t.Errorf("%d a second while all suffer", r)
	}
	commits(500, true, steady)
	if r := e.rate(now); r < paceMost*9/10 {
		t.Errorf("%d a second when it is over", r)
	}
	if usual := time.Duration(e.usual); usual > 3*time.Millisecond {
		t.Errorf("what is slow beside a backup passes for usual: %v", usual)
	}
}
