package relay

import (
	"math/rand/v2"
	"strings"
	"time"
)

// A Schedule says when to try again and when to give up. RFC 5321 §4.5.4.1
type Schedule struct {
	// First is the delay after the first failure, five minutes by default.
	First time.Duration
	// Factor is how much longer each further delay is, 2 by default; 1 for
	// equal ones.
	Factor float64
	// Longest is the longest delay, four hours by default.
	Longest time.Duration
	// Jitter is by which part of it a delay may be longer or shorter, 0.1 by
	// default and negative for none, so that what failed together does not come
	// again together.
	Jitter float64
	// Lifetime is how long a message is tried, five days by default, and
	// BounceLifetime how long a notification is, which nobody waits for: as
	// long by default.
	Lifetime, BounceLifetime time.Duration
}

// or gives the schedule with what it leaves open as another says.
func (s Schedule) or(other Schedule) Schedule {
	if s.First <= 0 {
		s.First = other.First
	}
	if s.Factor < 1 {
		s.Factor = other.Factor
	}
	if s.Longest <= 0 {
		s.Longest = other.Longest
	}
	if s.Jitter == 0 {
		s.Jitter = other.Jitter
	}
	if s.BounceLifetime <= 0 {
		if s.BounceLifetime = other.BounceLifetime; s.Lifetime > 0 {
			s.BounceLifetime = s.Lifetime
		}
	}
	if s.Lifetime <= 0 {
		s.Lifetime = other.Lifetime
	}
	s.Longest = max(s.Longest, s.First)
	return s
}

func (s Schedule) withDefaults() Schedule {
	const days = 5 * 24 * time.Hour
	return s.or(Schedule{
		First: 5 * time.Minute, Factor: 2, Longest: 4 * time.Hour, Jitter: 0.1, Lifetime: days, BounceLifetime: days,
	})
}

// next gives the time of the next try after so many failed ones, and whether
// there is one before the message is too old.
func (s Schedule) next(now, created time.Time, attempts int) (time.Time, bool) {
	end := created.Add(s.Lifetime)
	if !now.Before(end) {
		return time.Time{}, false
	}
	delay, longest := float64(s.First), float64(s.Longest)
	for i := 1; i < attempts && delay < longest && s.Factor > 1; i++ {
		delay *= s.Factor
	}
	delay = min(delay, longest)
	delay += (2*rand.Float64() - 1) * max(s.Jitter, 0) * delay
	// The last try is at the end of the lifetime, not long before it.
	if next := now.Add(time.Duration(delay)); next.Before(end) {
		return next, true
	}
	return end, true
}

// A DomainSchedule is what is different for the mail to a domain.
type DomainSchedule struct {
	// Domain is the domain in lower case; one that begins with a dot stands
	// for all below it.
	Domain string
	Schedule
}

// fits tells whether a pattern such as "example.org" or ".example.org" fits a
// domain.
func fits(pattern, domain string) bool {
	domain = strings.ToLower(domain)
	return pattern == domain || strings.HasPrefix(pattern, ".") && strings.HasSuffix(domain, pattern)
}

// scheduleOf gives the schedule for a recipient.
func (a *attempt) scheduleOf(i int) Schedule {
	s := a.schedule
	domain := a.item.Envelope.To[i].Address.Domain
	for _, d := range a.schedules {
		if fits(d.Domain, domain) {
			s = d.Schedule
			break
		}
	}
	if a.item.Envelope.From.IsNull() {
		s.Lifetime = s.BounceLifetime
	}
	return s
}
