package engine

import (
	"sync"

	"waxwing/store/kv"
)

// A Gate counts the calls under way, so that Close can wait for them. The
// zero Gate is open. Calls may be nested: a call within a call is let in for
// as long as the gate is open, and refused (not blocked) after that.
type Gate struct {
	mu     sync.Mutex // guards what follows
	inside int
	closed bool
	empty  chan struct{} // made by Close, closed by the last Leave
}

// Enter begins a call, which ends with Leave; it gives kv.ErrClosed once
// Close has begun.
func (g *Gate) Enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return kv.ErrClosed
	}
	g.inside++
	return nil
}

// Leave ends a call that Enter has let in.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// Close shuts the gate and waits until everybody has left. It gives
// kv.ErrClosed if it was shut before.
func (g *Gate) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return kv.ErrClosed
	}
	g.closed = true
	var empty chan struct{}
	if g.inside > 0 {
		empty = make(chan struct{})
		g.empty = empty
	}
	g.mu.Unlock()
	if empty != nil {
		<-empty
	}
	return nil
}
