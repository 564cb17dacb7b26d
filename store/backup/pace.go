package backup

import (
	"context"
	"sync"
	"time"
)

// While others commit, a partition is read at paceMost octets a second at most:
// what a disk can give beyond that is theirs. When their commits take longer than
// they do without a backup, it is read more slowly, down to paceLeast: a backup
// takes what time it needs, and a client that waits for its 250 does not.
const (
	paceMost  = 150 << 20
	paceLeast = 16 << 20
)

// Pace gives a Local's pace for one partition.
func (t *Tracker) Pace() func(context.Context, int) error {
	last, commits := time.Now(), t.commits.Load()
	return func(ctx context.Context, octets int) error {
		now, since := time.Now(), t.commits.Load()
		busy := since != commits || t.busy.Load() > 0
		if rest := restFor(octets, now.Sub(last), busy, t.ease.rate(now)); rest > 0 {
			timer := time.NewTimer(rest)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		last, commits = time.Now(), since
		return nil
	}
}

// restFor says how long to rest after reading some octets.
func restFor(octets int, took time.Duration, busy bool, rate int) time.Duration {
	if !busy {
		return 0
	}
	return max(0, time.Duration(octets)*time.Second/time.Duration(rate)-took)
}

// An ease tells by how long commits take whether a backup is in their way. Of
// all commits while nobody reads, a tenth takes longer than usual (the level is
// found by steps, without keeping any). When noticeably more of them are half as
// slow again while somebody reads, reading slows down by a part, else it becomes a
// little faster, like a sender that finds out how much the way carries.
type ease struct {
	mu    sync.Mutex // guards what follows
	read  time.Time  // when somebody read last
	usual float64    // nanoseconds that nine of ten commits take at rest
	late  float64    // the part of the latest ones that was slower by half
	slack float64    // what is left of paceMost; 0 is all of it
	moved time.Time  // when slack was changed
}

const (
	// readRecently is how long after a read commits may still suffer from it:
	// what was read is being written elsewhere.
	readRecently = 2 * time.Second

	lateMost  = 0.2 // of the latest commits
	paceTurn  = 20 * time.Millisecond
	paceDown  = 0.93    // of the pace, in a turn
	paceUp    = 2 << 20 // octets a second, in a turn
	lateSpan  = 16      // commits that late looks back on, about
	usualSpan = 32      // steps from nothing to the usual
)

// note is told how long a commit has taken.
func (e *ease) note(now time.Time, took time.Duration) {
	n := float64(took)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late -= e.late / lateSpan
	if now.Sub(e.read) > readRecently {
		step := e.usual/usualSpan + 1000
		if n > e.usual {
			e.usual += step * 0.9
		} else {
			e.usual -= step * 0.1
		}
		return
	}
	if e.usual > 0 && n > 1.5*e.usual {
		e.late += 1.0 / lateSpan
	}
	if now.Sub(e.moved) < paceTurn {
		return
	}
	e.moved = now
	pace := paceMost - e.slack + paceUp
	if e.late > lateMost {
		pace = (paceMost - e.slack) * paceDown
	}
	e.slack = paceMost - min(paceMost, max(paceLeast, pace))
}

// rate gives how many octets a second may be read now.
func (e *ease) rate(now time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read = now
	return int(paceMost - e.slack)
}
