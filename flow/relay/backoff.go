package relay

import (
	"math/rand/v2"
	"time"
)

// A Schedule says when to try again and when to give up. RFC 5321 §4.5.4.1
type Schedule struct {
	// First is the delay after the first failure, five minutes by default;
	// each further one is twice as long, up to Longest.
	First time.Duration
	// Longest is the longest delay, four hours by default.
	Longest time.Duration
	// Lifetime is how long a message is tried, five days by default.
	Lifetime time.Duration
}

func (s Schedule) withDefaults() Schedule {
	if s.First <= 0 {
		s.First = 5 * time.Minute
	}
	if s.Longest <= 0 {
		s.Longest = 4 * time.Hour
	}
	if s.Lifetime <= 0 {
		s.Lifetime = 5 * 24 * time.Hour
	}
	s.Longest = max(s.Longest, s.First)
	return s
}

// next gives the time of the next try after so many failed ones, and whether
// there is one before the message is too old. Delays vary by a tenth, so that
// what failed together does not come again together.
func (s Schedule) next(now, created time.Time, attempts int) (time.Time, bool) {
	end := created.Add(s.Lifetime)
	if !now.Before(end) {
		return time.Time{}, false
	}
	delay := s.First
	for i := 1; i < attempts && delay < s.Longest; i++ {
		delay *= 2
	}
	delay = min(delay, s.Longest)
	delay += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(delay))
	// The last try is at the end of the lifetime, not long before it.
	if next := now.Add(delay); next.Before(end) {
		return next, true
	}
	return end, true
}
