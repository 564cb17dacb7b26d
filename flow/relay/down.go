package relay

import (
	"sync"
	"time"
)

const (
	// firstDown is how long a host that could not be talked to is left alone,
	// at most: each further failure doubles it up to maxDown.
	firstDown = time.Minute
	maxDown   = 30 * time.Minute
	// maxDownNames bounds how many hosts and domains are remembered.
	maxDownNames = 50_000
)

// down remembers which hosts, and domains with all their hosts, could not be
// talked to, so that a thousand messages for a dead host do not wait a thousand
// times. When its time is over one transfer probes the host, and the others
// still go by what is known until that one has come back.
type down struct {
	first time.Duration
	mu    sync.Mutex
	list  map[string]*outage // guarded by mu
}

type outage struct {
	until   time.Time
	lasts   time.Duration
	answer  answer
	probing bool
}

func newDown(first time.Duration) *down {
	return &down{first: min(first, firstDown), list: map[string]*outage{}}
}

// trouble gives what went wrong a while ago, if it did. The caller for whom it
// has been long enough probes: it must call mark or clear.
func (d *down) trouble(name string, now time.Time) (answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.list[name]
	switch {
	case o == nil:
		return answer{}, false
	case !o.probing && !now.Before(o.until):
		o.probing = true
		return answer{}, false
	}
	return o.answer, true
}

// mark remembers trouble. Of several who have found it at once the first
// counts.
func (d *down) mark(name string, a answer, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.list[name]
	if o == nil {
		if len(d.list) >= maxDownNames {
			d.forget(now)
		}
		o = &outage{}
		d.list[name] = o
	} else if now.Before(o.until) {
		return
	}
	o.lasts = min(max(2*o.lasts, d.first), maxDown)
	o.until, o.answer, o.probing = now.Add(o.lasts), a, false
}

// clear says that a host could be talked to.
func (d *down) clear(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.list, name)
}

// release says that a probe has found nothing out.
func (d *down) release(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.list[name]; o != nil {
		o.probing = false
	}
}

// forget makes room: mu is held.
func (d *down) forget(now time.Time) {
	for name, o := range d.list {
		if !o.probing && now.After(o.until) {
			delete(d.list, name)
		}
	}
	for name := range d.list {
		if len(d.list) < maxDownNames {
			return
		}
		delete(d.list, name)
	}
}
