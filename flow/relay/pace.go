package relay

import "time"

const (
	// paceEach is how long one attempt that reaches nobody keeps the next one
	// waiting, for each processor that there is: so much of the machine they take
	// at most, whatever waits.
	paceEach = 4 * time.Millisecond
	// paceAhead is how much of that may be made up for at once: a few new
	// destinations do not wait.
	paceAhead = 32 * time.Millisecond
	// paceStep is how long the desk rests between attempts that wait for their
	// pace: they come in small groups, between which there is room for others.
	paceStep = 4 * time.Millisecond
)

// A pace bounds how fast attempts begin that may come to nothing: those for
// destinations of which nobody knows whether anybody takes mail there, and those
// that were in vain before. A hundred thousand of them could keep all processors
// busy for minutes, and each message that can go would wait for its turn at every
// step. Whoever reaches a host pays nothing (repay), so that new destinations
// that live are not slowed.
//
// It belongs to the desk's goroutine.
type pace struct {
	each time.Duration // what one attempt costs
	paid time.Time     // until when all that was begun is paid for
}

func newPace(processors int) *pace { return &pace{each: paceEach / time.Duration(processors)} }

// next is from when on another attempt may begin.
func (p *pace) next() time.Time { return p.paid.Add(-paceAhead) }

// take pays for an attempt.
func (p *pace) take(now time.Time) {
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(p.each)
}

// repay gives back what an attempt has paid.
func (p *pace) repay() { p.paid = p.paid.Add(-p.each) }
