package outqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Options change how a queue works. The zero value is sensible.
type Options struct {
	// Shards is the number of partitions of a new queue; 0 for 4. An existing
	// queue keeps the number it was made with.
	Shards int

	// Lease is how long Lease gives an item away; 0 for ten minutes, or for one
	// where the engine is shared. Whoever has it longer extends it.
	Lease time.Duration

	// Shared says that other processes may have the engine open too, or other
	// Queues of this one. Leases are durable then, where else they are known
	// here alone; and large bodies are removed by the sweep alone: whoever lets
	// go of one cannot see that another process is just keeping it.
	Shared bool

	// MaxItems is from when on the queue takes no more; 0 for a million.
	MaxItems int

	// MaxRecipients bounds the recipients of an item; 0 for 2,000.
	MaxRecipients int

	// Log is told of housekeeping; nil for silence.
	Log *slog.Logger
}

const maxShards = 256

// A Queue is the outqueue. It is safe for concurrent use.
type Queue struct {
	db    kv.Store
	blobs blob.Store
	o     Options

	setup  sync.Mutex // held while the number of shards is looked up
	shards atomic.Int32
	turn   atomic.Uint32 // whose turn it is among the shards

	shelf ruleShelf

	// One stripe is held from when a large body is kept, or has lost its
	// last item, until the engine and the blob store agree again.
	stripes [32]sync.Mutex

	gatherings [maxShards]gathering
	company    company
	throng     throng

	boarding sync.Mutex
	convoy   *convoy // takes calls of Enqueue along, nil if none does; guarded by boarding

	memory *memory
	wake   chan struct{} // holds a token when something may be due
}

// New makes a Queue on db, with large bodies in blobs. It does no I/O.
func New(db kv.Store, blobs blob.Store, o Options) *Queue {
	if o.Shards <= 0 {
		o.Shards = 4
	}
	o.Shards = min(o.Shards, maxShards)
	if o.Lease <= 0 {
		o.Lease = 10 * time.Minute
		if o.Shared {
			o.Lease = time.Minute // so long others wait when its holder has died
		}
	}
	if o.MaxItems <= 0 {
		o.MaxItems = 1_000_000
	}
	o.MaxItems = max(o.MaxItems, o.Shards)
	if o.MaxRecipients <= 0 {
		o.MaxRecipients = 2000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Queue{db: db, blobs: blobs, o: o, memory: newMemory(), wake: make(chan struct{}, 1)}
}

// partition gives the partition of a shard.
func partition(shard int) kv.Partition { return keys.Outqueue(uint16(shard)) }

// owner is whose blobs the large bodies of a shard are.
func owner(shard int) mail.AccountID { return mail.AccountID(partition(shard)) }

// count gives the number of shards. The first call looks it up, and lays the
// queue down if there is none.
func (q *Queue) count(ctx context.Context) (int, error) {
	if n := q.shards.Load(); n > 0 {
		return int(n), nil
	}
	q.setup.Lock()
	defer q.setup.Unlock()
	var n uint16
	err := kv.Apply(ctx, q.db, partition(0), func(tx kv.Txn) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		if h.shards == 0 {
			h.shards = uint16(q.o.Shards)
			tx.Put(headKey(), h.append(nil))
		}
		n = h.shards
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("open queue: %w", err)
	}
	q.shards.Store(int32(n))
	return int(n), nil
}

// readHead gives the head of a shard; a zero one if there is none yet.
func readHead(r kv.Reader) (head, error) {
	b, err := r.Get(headKey())
	if errors.Is(err, kv.ErrNotFound) {
		return head{next: 1, low: never}, nil
	}
	if err != nil {
		return head{}, err
	}
	return decodeHead(b)
}

// locate checks that an id can be one of ours.
func (q *Queue) locate(ctx context.Context, id ID) (int, error) {
	n, err := q.count(ctx)
	if err != nil {
		return 0, err
	}
	if id.shard() >= n {
		return 0, ErrNotFound
	}
	return id.shard(), nil
}

// Wake gives a channel that receives when there is News. It is one channel for
// all: a receiver looks at the whole queue.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Counts tells how much is in the queue.
func (q *Queue) Counts(ctx context.Context) (Counts, error) {
	n, err := q.count(ctx)
	if err != nil {
		return Counts{}, err
	}
	var sum Counts
	for shard := range n {
		h, err := q.look(ctx, shard)
		if err != nil {
			return Counts{}, err
		}
		sum.Items += h.counts.Items
		sum.Held += h.counts.Held
		sum.Deferred += h.counts.Deferred
		sum.Octets += h.counts.Octets
	}
	return sum, nil
}
