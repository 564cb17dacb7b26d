package pebblekv

import "sync"

// views counts the readers that may hold references into segments that are
// about to be removed. A reader that comes after the last live value has been
// moved away cannot find one.
type views struct {
	mu     sync.Mutex // guards what follows
	now    int        // 0 or 1: which of the two new readers count to
	inside [2]int
	left   *sync.Cond
	closed bool
}

// enter counts a reader in, and gives what leave wants.
func (v *views) enter() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside[v.now]++
	return v.now
}

func (v *views) leave(era int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside[era]--
	if v.inside[era] == 0 && era != v.now && v.left != nil {
		v.left.Broadcast()
	}
}

// drain returns once all readers that are inside have left; false if the
// store closes before. One caller at a time.
func (v *views) drain() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left == nil {
		v.left = sync.NewCond(&v.mu)
	}
	old := v.now
	v.now = 1 - v.now
	for v.inside[old] > 0 && !v.closed {
		v.left.Wait()
	}
	return !v.closed
}

// close ends drain.
func (v *views) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if v.left != nil {
		v.left.Broadcast()
	}
}
