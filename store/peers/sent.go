package peers

import (
	"hash/maphash"
	"time"
)

// reachedBits is the size of the sketch of whom an account has written to. It
// tells some ten thousand addresses apart, more than anybody may write to.
const reachedBits = 1 << 14

// maxReached is how many accounts have a sketch at once; one is 2 KiB.
const maxReached = 4096

// reached is a sketch of the addresses that an account has written to today.
type reached struct {
	since time.Time
	seed  maphash.Seed
	bits  [reachedBits / 64]uint64
	set   int
}

// add notes an address and says how many new ones it counts for: none if it
// has been seen, else one, and the more the fuller the sketch is, since some
// that are new are taken for old ones then (linear counting).
func (r *reached) add(address string) float64 {
	bit := maphash.String(r.seed, address) % reachedBits
	word, mask := &r.bits[bit/64], uint64(1)<<(bit%64)
	if *word&mask != 0 {
		return 0
	}
	*word |= mask
	r.set++
	return reachedBits / float64(max(reachedBits-r.set+1, 1))
}

// has tells whether an address has been noted, as far as a sketch can tell.
func (r *reached) has(address string) bool {
	bit := maphash.String(r.seed, address) % reachedBits
	return r.bits[bit/64]&(1<<(bit%64)) != 0
}

// WroteTo tells whether an account has written to an address in the last day.
// It may be wrong, seldom.
func (s *Store) WroteTo(account Subject, address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reached[account]
	return r != nil && r.has(address)
}

// Sent counts a message of an account: of the recipients those whom it has not
// written to in the last day.
func (s *Store) Sent(account Subject, now time.Time, recipients []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reached[account]
	if r == nil || now.Sub(r.since) > Window(SentToday) {
		if r == nil && len(s.reached) >= maxReached {
			for other := range s.reached { // any: it only counts some again
				delete(s.reached, other)
				break
			}
		}
		r = &reached{since: now, seed: maphash.MakeSeed()}
		s.reached[account] = r
	}
	fresh := 0.0
	for _, to := range recipients {
		fresh += r.add(to)
	}
	s.add(account, now, Messages, 1)
	if fresh > 0 {
		s.add(account, now, Recipients, fresh)
		s.add(account, now, SentToday, fresh)
		s.add(account, now, SentUsually, fresh)
	}
}
