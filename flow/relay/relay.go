package relay

import (
	"context"
	"crypto/tls"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
	"waxwing/trust/tlsrpt"
)

// Options change how a relay works. The zero value is sensible.
type Options struct {
	// Hostname is what we call ourselves to other hosts.
	Hostname string
	// Port is where mail hosts listen; 0 for 25. RFC 5321 §4.5.4.2
	Port int
	// Schedule says when to try again and when to give up, and Schedules what
	// is different for some domains: the first that fits counts.
	Schedule  Schedule
	Schedules []DomainSchedule
	// DelayWarning is after how long the sender is told, once, that a message
	// still waits; four hours by default, negative for never.
	// RFC 3461 §5.2.5
	DelayWarning time.Duration
	// Routes are for mail that goes another way than DNS and our own directory
	// say.
	Routes []Route
	// Attempts is how many messages are tried at once; 0 for 400.
	Attempts int
	// PerDestination is how many transfers there are to the hosts of one
	// destination at once, at most; 0 for 20.
	PerDestination int
	// TLS is the base of the client's settings, such as the versions; nil for
	// the library's own.
	TLS *tls.Config
	// Transport says how mail for some domains travels; the first that fits
	// counts.
	Transport []Transport
	// Policies finds MTA-STS policies; nil for none.
	Policies PolicyFinder
	// Sessions is told what came of each attempt to reach a host with TLS. It
	// waits for nobody. Nil for nobody.
	Sessions func(tlsrpt.Session)
	// Trace is told what becomes of messages; nil for nobody.
	Trace trace.Recorder
	Log   *slog.Logger
}

// A Relay works through the outqueue.
type Relay struct {
	queue      *outqueue.Queue
	deliverer  *deliver.Deliverer
	blobs      blob.Store
	resolver   dns.Resolver
	dialer     *dialer
	places     *places
	keeper     *keeper
	down       *down
	hostname   string
	schedule   Schedule
	schedules  []DomainSchedule
	warnAfter  time.Duration
	routes     atomic.Pointer[Routes]
	set        atomic.Int64 // how often routes have been set
	transports atomic.Pointer[[]Transport]
	policies   PolicyFinder
	sessions   func(tlsrpt.Session)
	attempts   int
	trace      trace.Recorder
	log        *slog.Logger
}

// New makes a Relay. It starts nothing; Run does the work.
func New(q *outqueue.Queue, d *deliver.Deliverer, blobs blob.Store, resolver dns.Resolver, o Options) *Relay {
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Attempts == 0 {
		o.Attempts = 400
	}
	if o.PerDestination == 0 {
		o.PerDestination = 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = trace.Discard{}
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.DelayWarning == 0 {
		o.DelayWarning = 4 * time.Hour
	}
	config := o.TLS.Clone()
	if config.ClientSessionCache == nil {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(maxSessions)
	}
	schedule := o.Schedule.withDefaults()
	var schedules []DomainSchedule
	for _, d := range o.Schedules {
		schedules = append(schedules, DomainSchedule{strings.ToLower(d.Domain), d.Schedule.or(schedule)})
	}
	down := newDown(schedule.First)
	r := &Relay{
		queue: q, deliverer: d, blobs: blobs, resolver: resolver,
		dialer:   &dialer{hostname: o.Hostname, port: o.Port, tls: config, log: o.Log, pool: newPool(), down: down},
		places:   newPlaces(o.PerDestination),
		keeper:   newKeeper(),
		down:     down,
		hostname: o.Hostname, schedule: schedule, schedules: schedules, warnAfter: o.DelayWarning,
		attempts: o.Attempts, trace: o.Trace, log: o.Log, policies: o.Policies, sessions: o.Sessions,
	}
	r.SetTransport(o.Transport)
	r.SetRoutes(o.Routes)
	return r
}

// SetRoutes puts other routes in the place of those that there are. What is
// under way goes on as it began; connections that are kept are not used any
// more, nor what was found out about hosts.
func (r *Relay) SetRoutes(routes Routes) {
	named := routes.named(r.set.Add(1))
	r.routes.Store(&named)
}

// SetTransport says anew how mail for some domains travels. What is under way
// goes on as it began.
func (r *Relay) SetTransport(all []Transport) { r.transports.Store(&all) }

// patience is how long the relay waits at most before it looks at the queue
// again: other nodes' items and lapsed leases come to light then.
const patience = 5 * time.Second

// drainTimeout is how long transfers may go on after Run's context has ended.
const drainTimeout = 20 * time.Second

// maxBatch is how many items are leased in one go: enough to share a
// transaction, and few enough for the first not to wait for the last, and for
// what comes meanwhile not to wait for them.
const maxBatch = 32

// Run works until ctx ends. Then it makes no more connections, lets transfers
// under way come to their end for a short time, and lets go of them: what is
// not done stays in the queue and is due again.
func (r *Relay) Run(ctx context.Context) error {
	// A transfer that is cut off behind its last octet would be sent twice, so
	// transfers outlive ctx for a while.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	d := desk{
		Relay: r, lanes: newLanes(r.attempts, runtime.GOMAXPROCS(0), r.places), wake: make(chan struct{}, 1),
		work: make(chan func()), closed: make(chan struct{}),
	}
	idle := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() { r.keeper.run(work, idle) })
	defer func() {
		patience := time.AfterFunc(drainTimeout, cut)
		close(d.closed)
		d.working.Wait()
		patience.Stop()
		close(idle)
		keeping.Wait()
		r.dialer.pool.sweep(context.WithoutCancel(ctx), time.Now(), true)
	}()
	for ctx.Err() == nil {
		now := time.Now()
		d.clear(now)
		if err := d.look(ctx, work, now); err != nil && ctx.Err() == nil {
			r.log.Error("cannot read the outqueue", obs.Err, err)
		}
		if !d.begin(ctx, work, now) {
			d.pause(ctx)
		}
		r.dialer.pool.sweep(work, time.Now(), false)
	}
	return ctx.Err()
}
