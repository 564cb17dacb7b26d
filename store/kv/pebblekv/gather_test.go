package pebblekv

import (
	"testing"
	"time"
)

// A group waits for the writers of the one before it only where a sync is slow
// and they are several, and never longer than a part of a sync.
func TestGathering(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, tt := range []struct {
		name    string
		groups  []int // commits of the groups before
		took    time.Duration
		commits int
		after   time.Duration // since the last group
		want    time.Duration
	}{
		{"nothing before", nil, 0, 1, 0, 0},
		{"a writer alone", []int{1, 1, 1}, 10 * time.Millisecond, 1, 0, 0},
		{"two by turns", []int{1, 1, 1}, 10 * time.Millisecond, 1, 0, 0},
		{"many, the first comes back", []int{2, 62}, 4 * time.Millisecond, 1, 0, gatherMin},
		{"the end is near", []int{2, 62}, 4 * time.Millisecond, 1, 970 * time.Microsecond, 30 * time.Microsecond},
		{"most are back", []int{2, 62}, 4 * time.Millisecond, 48, 0, 0},
		{"long enough", []int{2, 62}, 4 * time.Millisecond, 1, time.Millisecond, 0},
		{"a very slow disk", []int{2, 62}, time.Second, 1, gatherMax, 0},
		{"a fast disk", []int{2, 62}, 200 * time.Microsecond, 1, 0, 0},
	} {
		var g gathering
		for _, n := range tt.groups {
			g.note(n, tt.took, now)
		}
		if got := g.pause(tt.commits, now.Add(tt.after)); max(got, 0) != tt.want {
			t.Errorf("%s: pause of %v, want %v", tt.name, got, tt.want)
		}
	}
}
