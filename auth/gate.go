package auth

import (
	"context"
	"fmt"
	"sync"

	"waxwing/proto/sasl"
)

// A gate lets so many hash passwords at once, and so many wait. A single
// source gets a quarter of the places at most, so that it can not keep the
// others out.
type gate struct {
	slots     chan struct{}
	most      int // inside and waiting
	perSource int

	mu     sync.Mutex // guards what follows
	all    int
	within map[source]int
}

func newGate(parallel, queue int) *gate {
	most := parallel + queue
	return &gate{
		slots:     make(chan struct{}, parallel),
		most:      most,
		perSource: max(most/4, 1),
		within:    make(map[source]int),
	}
}

// enter waits for a place. It fails with sasl.ErrTemporary when too many wait
// already, or when ctx ends. Whoever has entered leaves.
func (g *gate) enter(ctx context.Context, from source) error {
	g.mu.Lock()
	limit := g.perSource
	if from.loopback {
		limit = g.most
	}
	if g.all >= g.most || g.within[from] >= limit {
		g.mu.Unlock()
		return fmt.Errorf("%w: too many logins at once", sasl.ErrTemporary)
	}
	g.all++
	g.within[from]++
	g.mu.Unlock()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		g.forget(from)
		return fmt.Errorf("%w: %w", sasl.ErrTemporary, context.Cause(ctx))
	}
}

func (g *gate) leave(from source) {
	<-g.slots
	g.forget(from)
}

func (g *gate) forget(from source) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.within[from]--; g.within[from] == 0 {
		delete(g.within, from)
	}
}
