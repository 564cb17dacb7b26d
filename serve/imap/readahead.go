package imap

import "sync"

// A readAhead reads the messages of one APPEND while the connection's goroutine
// brings more of them: parsing and hashing take as long as receiving does. It
// belongs to that goroutine; another runs only while there is something to read.
// The zero value is ready.
type readAhead struct {
	other sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting []*staged
	running bool // there is another goroutine
	panic   any  // of that one
}

// add has a message read that nobody changes until wait or stop.
func (r *readAhead) add(s *staged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, s)
	if !r.running {
		r.running = true
		r.other.Go(r.run)
	}
}

// next gives a message that nobody has read; nil if there is none, with which
// the other goroutine ends.
func (r *readAhead) next(other bool) *staged {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		s := r.waiting[0]
		r.waiting = r.waiting[1:]
		return s
	}
	if other {
		r.running = false
	}
	return nil
}

func (r *readAhead) run() {
	defer func() {
		if p := recover(); p != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.running, r.waiting, r.panic = false, nil, p
		}
	}()
	for s := r.next(true); s != nil; s = r.next(true) {
		s.read()
	}
}

// wait returns when all has been read. Who waits helps.
func (r *readAhead) wait() {
	for s := r.next(false); s != nil; s = r.next(false) {
		s.read()
	}
	r.settle()
}

// stop returns when nothing is being read any more, and lets go of the rest.
func (r *readAhead) stop() {
	r.mu.Lock()
	r.waiting = nil
	r.mu.Unlock()
	r.settle()
}

// settle waits for the other goroutine.
func (r *readAhead) settle() {
	r.other.Wait()
	if p := r.panic; p != nil {
		r.panic = nil
		panic(p) // which ends this connection, and not the program
	}
}
