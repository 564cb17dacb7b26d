package pgkv

import (
	"context"
	"sync"
)

// rounds lets what waits at the same time go to the database together, as one
// statement. There is no timer: a round takes all that has come while those
// before it were under way, and who finds a place free goes at once, alone.
type rounds[T any] struct {
	run   func(context.Context, []T) // carries out a round, and tells each of its outcome
	weigh func(T) int                // octets of one
	start func(func())               // runs something in the background

	mu     sync.Mutex // guards what follows
	queue  []T        // who wait; nobody unless all rounds are under way
	active int        // rounds under way
}

// How many rounds of a kind are under way at once, and what one takes at most.
// More rounds would be smaller ones, and cost more in all.
const (
	mostRounds  = 4
	mostInRound = 64
	roundOctets = 2 << 20
)

// add has x go with the next round. ctx ends it only if it goes alone.
func (r *rounds[T]) add(ctx context.Context, x T) {
	r.mu.Lock()
	if r.active == mostRounds {
		r.queue = append(r.queue, x)
		r.mu.Unlock()
		return
	}
	r.active++
	r.mu.Unlock()
	r.run(ctx, []T{x})
	if round := r.next(); round != nil {
		r.start(func() { r.work(round) })
	}
}

// work carries out a round, and others until nobody waits.
func (r *rounds[T]) work(round []T) {
	for ; round != nil; round = r.next() {
		r.run(context.Background(), round)
	}
}

// next takes a round out of the queue; after nil there is one less under way.
func (r *rounds[T]) next() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, octets := 0, 0
	for n < len(r.queue) && n < mostInRound && (n == 0 || octets < roundOctets) {
		octets += r.weigh(r.queue[n])
		n++
	}
	if n == 0 {
		r.active--
		return nil
	}
	round := r.queue[:n:n]
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return round
}
