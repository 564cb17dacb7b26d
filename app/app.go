package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/app/config"
	"waxwing/app/confine"
	"waxwing/flow/relay"
	"waxwing/obs"
	"waxwing/serve/adminapi"
	"waxwing/serve/imap"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Options is what a configuration file cannot say.
type Options struct {
	// Log is where log records go.
	Log io.Writer

	// Confine gives up privileges after the start: the process becomes the
	// configured user and sees only the files that it needs.
	Confine bool

	// PlaintextLogins permits logins without TLS. It is for servers that
	// listen on loopback alone.
	PlaintextLogins bool

	// CertificateNames are further names and addresses in certificates of our
	// own authority.
	CertificateNames []string

	// Server is what people type into their programs in place of the hostname,
	// where that cannot be looked up.
	Server string

	// BlobsApart permits a database whose large bodies lie in the files of
	// another process: they cannot be read here, nor ours there.
	BlobsApart bool

	// Restoring permits a store that a restore has left half done.
	Restoring bool

	// Reading opens the store to be read: also on a disk that is nearly full,
	// of which what is kept free for people may be used, too. A store that is
	// not there is not made.
	Reading bool

	// Started is told once that everything is served. May be nil.
	Started func()
}

// App is the open house.
type App struct {
	config  config.Config
	log     *slog.Logger
	level   *slog.LevelVar
	lines   *lineWriter
	sockets listeners
	certs   certificates
	stores  stores
	proxies proxies
	signing *signing // nil until the house is furnished
	doors   []door
	workers []worker
	started func()

	accounts *imap.Door // what IMAP shows; nil until the house is furnished

	onward *relay.Relay // sends mail on
	routes atomic.Pointer[relay.Routes]

	mu sync.Mutex // guards config in reloads
}

// drainTimeout is how long what is under way may go on after the end was told.
const drainTimeout = 30 * time.Second

// A door serves the sockets of one service until its context ends, and then
// until what was under way is done.
type door struct {
	service string
	serve   func(context.Context, net.Listener) error
}

// A worker is what runs behind the doors until its context ends.
type worker struct {
	name string
	run  func(context.Context) error
}

// Open opens everything; nothing is served before Run. The caller closes it.
func Open(c config.Config, o Options) (*App, error) {
	a := &App{config: c, started: o.Started}
	a.log, a.level, a.lines = newLog(o.Log, c.Log)
	if err := a.open(o, time.Now()); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(o Options, now time.Time) (err error) {
	c := a.config
	memory := memoryOf(os.DirFS("/")) // while we still may look
	shareMemory(memory)
	if err := makeData(c); err != nil {
		return err
	}
	if a.sockets, err = listen(c.Listen, a.log); err != nil {
		return err
	}
	if o.Confine {
		if err := becomeUser(c, a.log); err != nil {
			return err
		}
	}
	if a.certs, err = openCertificates(c, o, a.sockets, now, a.log); err != nil {
		return err
	}
	if o.Confine {
		if err := restrict(c, a.log); err != nil {
			return err
		}
	}
	if a.stores, err = openStores(c, o, memory, a.log); err != nil {
		return err
	}
	admin, err := adminapi.Listen(c.Data) // the store's lock is ours by now
	if err != nil {
		return err
	}
	a.sockets[serviceAdmin] = []net.Listener{admin}
	if a.stores.tidy != nil {
		a.workers = append(a.workers, worker{"blobs", a.stores.tidy})
	}
	a.workers = append(a.workers, worker{"store", a.stores.watch}, worker{"garbage", newGarbage(memory).run})
	return a.furnish(o, now)
}

// Close closes what Open has opened, after Run.
func (a *App) Close() error {
	defer a.lines.flush()
	return errors.Join(a.sockets.Close(), a.stores.Close())
}

// Run serves until ctx ends or a part fails, and then ends in order.
func (a *App) Run(ctx context.Context) error {
	// The rooms behind outlive the doors, and the doors hear of the end first.
	doorsCtx, closeDoors := context.WithCancelCause(ctx)
	defer closeDoors(nil)
	workersCtx, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()

	var doors, workers sync.WaitGroup
	for _, w := range a.workers {
		workers.Go(func() {
			if err := w.run(workersCtx); err != nil && workersCtx.Err() == nil {
				closeDoors(fmt.Errorf("%s: %w", w.name, err))
			}
		})
	}
	for _, d := range a.doors {
		for _, l := range a.sockets[d.service] {
			doors.Go(func() {
				if err := d.serve(doorsCtx, l); err != nil && doorsCtx.Err() == nil {
					closeDoors(fmt.Errorf("%s: %w", d.service, err))
				}
			})
		}
	}
	a.log.Info("waxwing runs", "version", Version(), "hostname", a.config.Hostname)
	if a.started != nil {
		a.started()
	}
	<-doorsCtx.Done()
	err := context.Cause(doorsCtx)
	if ctx.Err() != nil {
		err = nil // we were told to
	}
	a.log.Info("waxwing stops")
	doors.Wait()
	stopWorkers()
	workers.Wait()
	if err != nil {
		a.log.Error("waxwing has ended of itself and should be started again", obs.Err, err)
	}
	return err
}

// makeData makes the data directory, for the user that the server becomes.
func makeData(c config.Config) error {
	_, err := os.Stat(c.Data)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	if c.User != "" && os.Getuid() == 0 {
		return confine.Own(c.Data, c.User)
	}
	return nil
}

// healthy tells whether the store answers.
func (a *App) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := a.stores.db.View(ctx, keys.Directory, func(r kv.Reader) error {
		_, err := r.GetMany([][]byte{{0}})
		return err
	})
	if err != nil {
		a.log.Error("the store does not answer", obs.Err, err)
	}
	return err
}
