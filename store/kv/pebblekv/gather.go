package pebblekv

import "time"

// A gathering tells how long the next group of the log waits for more
// commits. When a large group has been told that it is durable, all its writers
// come back in a moment. A slow disk that takes the first of them at once
// makes the others wait for a sync of a few, and then for their own. So there
// is a pause, short against a sync, while fewer have come than there are writers.
// A fast disk, or a writer alone, never waits.
type gathering struct {
	last    int // commits of the last group
	writers int // in the last two, which is about how many writers there are
	until   time.Time
}

const (
	// fewWriters do not need to wait for each other.
	fewWriters = 4
	// gatherMin is the shortest pause that pays, gatherMax the longest.
	gatherMin, gatherMax = 100 * time.Microsecond, 2 * time.Millisecond
)

// note is told of a group, how long it took the disk, and when it was told.
func (g *gathering) note(commits int, took time.Duration, now time.Time) {
	g.writers, g.last = g.last+commits, commits
	g.until = time.Time{}
	if pause := min(took/4, gatherMax); g.writers >= fewWriters && pause >= gatherMin {
		g.until = now.Add(pause)
	}
}

// pause gives how long a group of so many is to wait until it is looked at
// again.
func (g *gathering) pause(commits int, now time.Time) time.Duration {
	if g.until.IsZero() || commits >= g.writers*3/4 {
		return 0
	}
	return min(g.until.Sub(now), gatherMin)
}
