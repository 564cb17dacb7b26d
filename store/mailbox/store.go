package mailbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// Options of a Store. The zero value is sensible.
type Options struct {
	// Window is how long what was expunged, deleted or changed can be
	// recovered or asked about. Default: 30 days.
	Window time.Duration

	// Quota is that of accounts without their own. Zero: no limit.
	Quota mail.ByteCount

	// Recoverable bounds the octets of an account that are gone but not
	// purged; beyond it the oldest are purged before their time.
	// Default: the account's quota again, but at least 1 GiB, and 10 GB where
	// there is none. An account may have its own: see Store.SetRecoverable.
	Recoverable mail.ByteCount

	MaxMailboxes int // of an account; default 10,000
	MaxKeywords  int // different ones in an account; default 1,000
	MaxChanges   int // changes remembered of an account; default 1,000,000

	// Resting bounds the entries of mailboxes that nobody has open any
	// longer but that stay in memory. Default: 2,000,000, which is 96 MB.
	Resting int

	// Shared says that other processes may have the engine open too: locks are
	// then kept in it.
	Shared bool

	// Arrived is told after emails have come to an account on this node, and
	// are durable. It returns at once. May be nil.
	Arrived func(mail.AccountID)

	Log *slog.Logger
}

// A Store keeps the mail of all accounts. It is safe for concurrent use.
type Store struct {
	db    kv.Store
	blobs blob.Store
	o     Options
	log   *slog.Logger

	holder uint64 // this store among the nodes, in leases

	ctx  context.Context // ends when the store closes
	stop context.CancelFunc
	work sync.WaitGroup // goroutines that follow accounts

	resting restingViews
	kept    keptTable
	stamps  atomic.Uint64 // the last one given; begins at random

	mu       sync.Mutex // guards what follows
	closed   bool
	accounts map[mail.AccountID]weak.Pointer[Account]
	locked   map[mail.AccountID]bool // maildrops
}

// AccountOptions are the settings of a new account.
type AccountOptions struct {
	Quota mail.ByteCount // zero: Options.Quota; negative: no limit
}

// New gives a Store on db and blobs, which stay the caller's to close, after
// the Store.
func New(db kv.Store, blobs blob.Store, o Options) *Store {
	if o.Window <= 0 {
		o.Window = 30 * 24 * time.Hour
	}
	if o.MaxMailboxes <= 0 {
		o.MaxMailboxes = 10_000
	}
	if o.MaxKeywords <= 0 {
		o.MaxKeywords = 1_000
	}
	if o.MaxChanges <= 0 {
		o.MaxChanges = 1_000_000
	}
	if o.Resting == 0 {
		o.Resting = 2_000_000
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		resting: restingViews{limit: o.Resting},
		db:      db, blobs: blobs, o: o, log: log, ctx: ctx, stop: stop,
		accounts: make(map[mail.AccountID]weak.Pointer[Account]),
		locked:   make(map[mail.AccountID]bool),
	}
	var holder [8]byte
	rand.Read(holder[:]) // never fails
	s.holder = binary.LittleEndian.Uint64(holder[:])
	var random [8]byte
	rand.Read(random[:]) // never fails
	s.stamps.Store(binary.LittleEndian.Uint64(random[:]))
	return s
}

// Close ends what follows accounts and waits for it. Views that are open keep
// their last snapshot.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	return nil
}
