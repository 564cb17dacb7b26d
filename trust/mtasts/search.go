package mtasts

import (
	"context"
	"errors"
	"time"
)

const (
	// patience is how long mail waits for what is not known of a domain yet. Who
	// keeps the policy from us could do so for longer, too: mail would go without
	// in the end. RFC 8461 §5.1
	patience = 5 * time.Second
	// searchTime is how long a search may take in all: the record, the address of
	// the policy's host, and the policy.
	searchTime = 2*fetchTimeout + patience
	// maxSearches is how many searches there may be that nobody waits for.
	maxSearches = 500
)

// errNotYet is what there is to say before a search has come to its end.
var errNotYet = &Error{Unknown, errors.New("its policy has not been found out yet")}

// A search is one domain being looked up.
type search struct {
	entry  *entry
	loaded chan struct{} // closed when soFar is there
	soFar  Finding       // what holds meanwhile
	done   chan struct{} // closed when finding and err are there
	found  Finding
	err    error
}

func newSearch(e *entry) *search {
	return &search{entry: e, loaded: make(chan struct{}), done: make(chan struct{})}
}

// wait gives what was found, or after a while what holds meanwhile.
func (s *search) wait(ctx context.Context) (Finding, error) {
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case <-s.done:
		return s.found, s.err
	case <-ctx.Done():
		return Finding{}, ctx.Err()
	case <-patient.C:
	}
	select {
	case <-s.done:
		return s.found, s.err
	case <-ctx.Done():
		return Finding{}, ctx.Err()
	case <-s.loaded: // not before: there may be a policy
		return s.soFar, nil
	}
}

// begin begins a search. It goes on when the caller does not wait any more,
// until Run ends; if there are too many such, or Run has ended, it is the
// caller's own.
func (ps *Policies) begin(ctx context.Context, now time.Time, domain string, s *search) {
	ps.mu.Lock()
	ps.running++
	alone := !ps.ended && ps.running <= maxSearches
	if alone {
		ps.searches.Add(1)
	}
	ps.mu.Unlock()
	if !alone {
		ps.look(ctx, now, domain, s)
		return
	}
	go func() {
		defer ps.searches.Done()
		searching, cancel := context.WithTimeout(context.WithoutCancel(ctx), searchTime)
		defer cancel()
		defer context.AfterFunc(ps.life, cancel)()
		ps.look(searching, now, domain, s)
	}()
}

// look finds out, and tells those who wait.
func (ps *Policies) look(ctx context.Context, now time.Time, domain string, s *search) {
	finding, until, err := ps.discover(ctx, now, domain, s.entry, func(f Finding) {
		s.soFar = f
		close(s.loaded)
	})
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.running--
	s.found, s.err = finding, err
	if err == nil {
		s.entry.finding, s.entry.until = finding, until
	}
	s.entry.search = nil
	close(s.done)
}

// finish ends the searches that go on alone.
func (ps *Policies) finish() {
	ps.mu.Lock()
	ps.ended = true
	ps.mu.Unlock()
	ps.end()
	ps.searches.Wait()
}
