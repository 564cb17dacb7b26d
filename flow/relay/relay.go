package relay

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
)

// Options change how a relay works. The zero value is sensible.
type Options struct {
	// Hostname is what we call ourselves to other hosts.
	Hostname string
	// Port is where mail hosts listen; 0 for 25. RFC 5321 §4.5.4.2
	Port int
	// Schedule says when to try again and when to give up.
	Schedule Schedule
	// DelayWarning is after how long the sender is told, once, that a message
	// still waits; four hours by default, negative for never.
	// RFC 3461 §5.2.5
	DelayWarning time.Duration
	// Routes are the domains whose mail goes to another store than ours.
	Routes []Route
	// Attempts is how many messages are tried at once; 0 for 200.
	Attempts int
	// PerDestination is how many connections there are to one domain's hosts
	// at once; 0 for 20.
	PerDestination int
	// TLS is the base of the client's settings, such as the versions; nil for
	// the library's own.
	TLS *tls.Config
	Log *slog.Logger
}

// A Relay works through the outqueue.
type Relay struct {
	queue     *outqueue.Queue
	deliverer *deliver.Deliverer
	blobs     blob.Store
	resolver  dns.Resolver
	dialer    *dialer
	places    *places
	down      *down
	hostname  string
	schedule  Schedule
	warnAfter time.Duration
	routes    Routes
	attempts  int
	log       *slog.Logger
}

// New makes a Relay. It starts nothing; Run does the work.
func New(q *outqueue.Queue, d *deliver.Deliverer, blobs blob.Store, resolver dns.Resolver, o Options) *Relay {
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Attempts == 0 {
		o.Attempts = 200
	}
	if o.PerDestination == 0 {
		o.PerDestination = 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.DelayWarning == 0 {
		o.DelayWarning = 4 * time.Hour
	}
	schedule := o.Schedule.withDefaults()
	return &Relay{
		queue: q, deliverer: d, blobs: blobs, resolver: resolver,
		dialer:   &dialer{hostname: o.Hostname, port: o.Port, tls: o.TLS, log: o.Log, pool: newPool()},
		places:   newPlaces(o.PerDestination),
		down:     newDown(min(schedule.First, maxDown)),
		hostname: o.Hostname, schedule: schedule, warnAfter: o.DelayWarning, routes: o.Routes, attempts: o.Attempts, log: o.Log,
	}
}

// patience is how long the relay waits at most before it looks at the queue
// again: other nodes' items and lapsed leases come to light then.
const patience = 5 * time.Second

// drainTimeout is how long transfers may go on after Run's context has ended.
const drainTimeout = 20 * time.Second

// Run works until ctx ends. Then it makes no more connections, lets transfers
// under way come to their end for a short time, and lets go of them: what is
// not done stays in the queue and is due again.
func (r *Relay) Run(ctx context.Context) error {
	var working sync.WaitGroup
	slots := make(chan struct{}, r.attempts)
	// A transfer that is cut off behind its last octet would be sent twice, so
	// transfers outlive ctx for a while.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer func() {
		patience := time.AfterFunc(drainTimeout, cut)
		working.Wait()
		patience.Stop()
		r.dialer.pool.sweep(context.WithoutCancel(ctx), time.Now(), true)
	}()
	freed := make(chan struct{}, 1) // a slot has become free while all were taken
	for ctx.Err() == nil {
		free := cap(slots) - len(slots)
		leases, err := r.queue.Due(ctx, time.Now(), free)
		if err != nil && ctx.Err() == nil {
			r.log.Error("cannot read the outqueue", obs.Err, err)
		}
		for _, lease := range leases {
			slots <- struct{}{}
			working.Go(func() {
				defer func() {
					<-slots
					select {
					case freed <- struct{}{}:
					default:
					}
				}()
				r.attempt(ctx, work, lease)
			})
		}
		if len(leases) == free && free > 0 {
			continue // there may be more
		}
		r.pause(ctx, freed, len(leases) == 0 && free == 0)
		r.dialer.pool.sweep(work, time.Now(), false)
	}
	return ctx.Err()
}

// pause waits until there may be something to do.
func (r *Relay) pause(ctx context.Context, freed <-chan struct{}, full bool) {
	wait := patience
	if next, err := r.queue.Next(ctx); err == nil && !next.IsZero() {
		wait = min(wait, max(time.Until(next), 0))
	}
	if full {
		wait = patience // what is due has to wait for a slot
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.queue.Wake():
	case <-freed:
	}
}
