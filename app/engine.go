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
	"waxwing/store/blob/fsblob"
	"waxwing/store/directory"
	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/kv/pgkv"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
)

// stores are the rooms that survive a restart.
type stores struct {
	db        kv.Store
	shared    bool // other processes may have db open too
	blobs     *fsblob.Store
	directory *directory.Directory
	mailboxes *mailbox.Store
	queue     *outqueue.Queue
}

// openStores opens what lies in the data directory, which must exist.
// The engine's caches are made to fit the memory.
func openStores(c config.Config, memory int64, log *slog.Logger) (s stores, err error) {
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
	if s.db, s.shared, err = openEngine(c, memory, log); err != nil {
		return stores{}, fmt.Errorf("open the store: %w", err)
	}
	s.blobs, err = fsblob.Open(filepath.Join(c.Data, "blobs"), fsblob.Options{})
	if err != nil {
		return stores{}, errors.Join(fmt.Errorf("open the blob store: %w", err), s.db.Close())
	}
	s.directory = directory.New(s.db)
	s.mailboxes = mailbox.New(s.db, s.blobs, mailbox.Options{
		Window:      c.Mailbox.Undelete.Std(),
		Quota:       c.Mailbox.Quota.Octets(),
		Recoverable: c.Mailbox.Recoverable.Octets(),
		Log:         log,
	})
	s.queue = outqueue.New(s.db, s.blobs, outqueue.Options{Log: log})
	return s, nil
}

// openEngine opens the engine that the configuration names. A data directory
// is locked for one process by its blob store, whatever the engine.
func openEngine(c config.Config, memory int64, log *slog.Logger) (db kv.Store, shared bool, err error) {
	if config.OnPostgreSQL(c.Store.URL) {
		db, err = pgkv.Open(context.Background(), c.Store.URL, pgkv.Options{Log: log})
		return db, true, err
	}
	o := pebblekv.Options{Log: log}
	o.CacheSize, o.MemTableSize = cacheFor(memory)
	db, err = pebblekv.Open(filepath.Join(c.Data, "store"), o)
	return db, false, err
}

// Close closes them in the opposite order.
func (s stores) Close() error {
	if s.db == nil {
		return nil // never opened
	}
	return errors.Join(s.mailboxes.Close(), s.blobs.Close(), s.db.Close())
}
