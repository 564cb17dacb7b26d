package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/kv/pgkv"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
	"waxwing/store/reports"
	"waxwing/store/search"
	"waxwing/store/trace"
)

// stores are the rooms that survive a restart.
type stores struct {
	lock      *os.File // of the data directory
	db        kv.Store
	shared    bool // other processes may have db open too
	blobs     blob.Store
	tidy      func(context.Context) error // what blobs do when there is time; may be nil
	directory *directory.Directory
	mailboxes *mailbox.Store
	index     *search.Index
	queue     *outqueue.Queue
	trace     *trace.Store
	peers     *peers.Store
	reports   *reports.Store
	backup    *backup.Local // what backups read
	memory    int64         // what the program may use
	failed    chan error    // told once that db cannot write any more
}

// storeFolder is where the engine is, in a data directory.
const storeFolder = "store"

// openedFile is where it is noted which mailboxes are open.
const openedFile = "opened"

// minFree is how much of the disk stays free of messages, in octets, for
// people who make room.
const minFree = 256 << 20

// openStores opens what lies in the data directory, which must exist.
// The engine's caches are made to fit the memory.
func openStores(c config.Config, o Options, memory int64, log *slog.Logger) (s stores, err error) {
	if err := config.CheckStore(c.Store.URL); err != nil {
		return stores{}, err
	}
	defer func() {
		switch {
		case errors.Is(err, syscall.EAGAIN): // a lock's
			err = fmt.Errorf("%s is in use: another waxwing runs there", c.Data)
		case errors.Is(err, os.ErrPermission):
			err = fmt.Errorf("%w; %s must belong to the user that the server runs as", err, c.Data)
		}
	}()
	if s.lock, err = lockData(c.Data); err != nil {
		return stores{}, err
	}
	s.failed, s.memory = make(chan error, 1), memory
	if s.db, s.shared, err = openEngine(c, o.Reading, memory, log, func(err error) { s.failed <- err }); err != nil {
		return stores{}, errors.Join(fmt.Errorf("open the store: %w", err), s.lock.Close())
	}
	blobs, err := openBlobs(c, s.db, o.BlobsApart, log)
	if err != nil {
		return stores{}, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	s.blobs, s.tidy = blobs, tidier(c, blobs, log)
	if s.db, s.blobs, s.backup, err = guard(s, o.Restoring); err != nil {
		return stores{}, errors.Join(err, s.blobs.Close(), s.db.Close(), s.lock.Close())
	}
	s.directory = directory.New(s.db)
	var index *search.Index
	s.mailboxes = mailbox.New(s.db, s.blobs, mailbox.Options{
		Arrived:     func(id mail.AccountID) { index.Arrived(id) },
		Window:      c.Mailbox.Undelete.Std(),
		Quota:       c.Mailbox.Quota.Octets(),
		Recoverable: c.Mailbox.Recoverable.Octets(),
		Shared:      s.shared,
		Log:         log,
	})
	index = search.New(s.db, s.mailboxes, search.Options{Memory: abstractsFor(memory), Log: log})
	s.index = index
	s.trace = trace.New(s.db, trace.Options{Keep: c.Trace.Keep.Std(), MaxOctets: int64(c.Trace.Size.Octets()), Log: log})
	s.reports = reports.New(s.db, reports.Options{Keep: c.Reports.Keep.Std(), MaxOctets: int64(c.Reports.Size.Octets()), Log: log})
	s.queue = outqueue.New(s.db, s.blobs, queueOptions(c, s.shared, log))
	if s.peers, err = openPeers(s.db, s.shared, log); err != nil {
		return stores{}, errors.Join(err, s.Close())
	}
	return s, nil
}

// queueOptions gives leases that need no time where nobody can take them.
func queueOptions(c config.Config, shared bool, log *slog.Logger) outqueue.Options {
	o := outqueue.Options{Shared: shared, Log: log}
	if shared {
		o.Lease = c.Relay.TakeOver.Std()
	}
	return o
}

// lockData keeps other processes away from the data directory, wherever the
// stores are.
func lockData(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openEngine opens the engine that the configuration names. failed is told
// once if that cannot write any more.
func openEngine(c config.Config, reading bool, memory int64, log *slog.Logger, failed func(error)) (db kv.Store, shared bool, err error) {
	if config.OnPostgreSQL(c.Store.URL) {
		db, err = pgkv.Open(context.Background(), c.Store.URL, pgkv.Options{Log: log})
		return db, true, err
	}
	o := pebblekv.Options{Log: log, MinFree: minFree, Failed: failed}
	o.CacheSize = cacheFor(memory)
	dir := filepath.Join(c.Data, storeFolder)
	if reading {
		o.MinFree = -1
		// Else the backup of a wrong directory would be one of nothing, and the
		// next pruning would remove the others.
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return nil, false, fmt.Errorf("there is none in %s; that of a server which was started with --store lies where that says", dir)
		}
	}
	db, err = pebblekv.Open(dir, o)
	return db, false, err
}

// watch returns an error once the store cannot write any more. What a disk has
// taken is not known after a failed sync; the next start finds out.
func (s stores) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// Close closes them in the opposite order.
func (s stores) Close() error {
	if s.db == nil {
		return nil // never opened
	}
	return errors.Join(s.mailboxes.Close(), s.blobs.Close(), s.db.Close(), s.lock.Close())
}
