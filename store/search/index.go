package search

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

// Options of an Index. The zero value is sensible.
type Options struct {
	// Memory bounds what is kept of abstracts and orders, in octets.
	// Default: 256 MiB.
	Memory int64

	Log *slog.Logger
}

// An Index is the index of all accounts. It is safe for concurrent use.
type Index struct {
	db        kv.Store
	mailboxes *mailbox.Store
	o         Options
	log       *slog.Logger
	holder    uint64 // this process among the nodes, in leases

	lastArrival atomic.Int64 // in Unix nanoseconds

	mu       sync.Mutex // guards what follows
	accounts map[mail.AccountID]*Account
	waiting  map[mail.AccountID]bool // to be looked after
	wake     chan struct{}
	memory   int64  // of all accounts
	clock    uint64 // counts uses
}

// New gives an Index of what the mailboxes hold, which lies in db and which
// Run builds. Without db nothing is stored, and any message may have any text.
func New(db kv.Store, mailboxes *mailbox.Store, o Options) *Index {
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var holder [8]byte
	rand.Read(holder[:]) // never fails
	return &Index{
		db: db, mailboxes: mailboxes, o: o, log: log, holder: binary.LittleEndian.Uint64(holder[:]),
		accounts: make(map[mail.AccountID]*Account), waiting: make(map[mail.AccountID]bool), wake: make(chan struct{}, 1),
	}
}

// An Account is the index of one account, as it is at hand on this node.
type Account struct {
	x    *Index
	id   mail.AccountID
	part kv.Partition
	mail *mailbox.Account

	arrived atomic.Int64 // emails since the worker has looked
	used    uint64       // guarded by x.mu, as is cost
	cost    int64

	mu       sync.Mutex // guards what follows
	raw      []byte     // of state
	state    state
	segments map[uint64]*segment
	rows     rowTable
	orders   map[orderKey]*order
	threads  map[threadKey]*threads
	finds    map[findsKey]*finds
	turn     uint64 // counts searches
}

// maxAccounts bounds how many accounts are remembered.
const maxAccounts = 10_000

// Account gives the index of an account that somebody reads: from now on it is
// kept up to date.
func (x *Index) Account(id mail.AccountID) *Account {
	x.mu.Lock()
	defer x.mu.Unlock()
	a := x.accounts[id]
	held := x.mailboxes.Account(id)
	if a != nil && a.mail != held { // it has been deleted, and there is another by that number
		delete(x.accounts, id)
		x.memory -= a.cost
		a = nil
	}
	if a == nil {
		if len(x.accounts) >= maxAccounts {
			x.forgetOldest(nil)
		}
		a = &Account{
			x: x, id: id, part: keys.Index(id), mail: held,
			segments: make(map[uint64]*segment), orders: make(map[orderKey]*order), threads: make(map[threadKey]*threads),
			finds: make(map[findsKey]*finds),
		}
		x.accounts[id] = a
		x.want(id)
	}
	x.clock++
	a.used = x.clock
	return a
}

// want has the worker look after an account. x.mu is held.
func (x *Index) want(id mail.AccountID) {
	x.waiting[id] = true
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Arrived says that emails have come to an account; see mailbox.Options.
func (x *Index) Arrived(id mail.AccountID) {
	x.lastArrival.Store(time.Now().UnixNano())
	x.mu.Lock()
	defer x.mu.Unlock()
	if a := x.accounts[id]; a != nil && a.arrived.Add(1)%minBatch == 0 {
		x.want(id)
	}
}

// weigh notes what an account keeps in memory, and lets go of what others do
// where it is too much for all.
func (x *Index) weigh(a *Account, cost int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.accounts[a.id] != a {
		return
	}
	x.memory += cost - a.cost
	a.cost = cost
	for x.memory > x.o.Memory && x.forgetOldest(a) {
	}
}

// forgetOldest lets go of the account that has not been used for longest, but
// not of one. x.mu is held.
func (x *Index) forgetOldest(keep *Account) bool {
	var oldest *Account
	for _, a := range x.accounts {
		if a != keep && (oldest == nil || a.used < oldest.used) {
			oldest = a
		}
	}
	if oldest == nil {
		return false
	}
	delete(x.accounts, oldest.id)
	x.memory -= oldest.cost
	return true
}

// Drop removes the index of an account, which is built anew when somebody
// reads it.
func (x *Index) Drop(ctx context.Context, id mail.AccountID) error {
	err := kv.Apply(ctx, x.db, keys.Index(id), func(tx kv.Txn) error { tx.DeleteRange(nil, nil); return nil })
	x.mu.Lock()
	defer x.mu.Unlock()
	if a := x.accounts[id]; a != nil {
		delete(x.accounts, id)
		x.memory -= a.cost
	}
	return err
}

// read brings what is known of the segments up to what r shows. a.mu is held.
func (a *Account) read(r kv.Reader) error {
	got, err := r.GetMany([][]byte{stateKey})
	if err != nil {
		return err
	}
	if string(got[0]) == string(a.raw) {
		return nil
	}
	s, err := decodeState(got[0])
	if err != nil {
		return err
	}
	var want [][]byte
	var refs []segmentRef
	segments := make(map[uint64]*segment, len(s.segments))
	for _, ref := range s.segments {
		if known := a.segments[ref.id]; known != nil {
			segments[ref.id] = known
			continue
		}
		want, refs = append(want, emailsKey(ref.id)), append(refs, ref)
	}
	values, err := r.GetMany(want)
	if err != nil {
		return err
	}
	for i, ref := range refs {
		if segments[ref.id], err = decodeSegment(ref, values[i]); err != nil {
			return err
		}
	}
	a.state, a.segments, a.raw = s, segments, append([]byte(nil), got[0]...)
	return nil
}
