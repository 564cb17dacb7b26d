package trace

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Options change how a Store works. The zero value is sensible.
type Options struct {
	// Keep is how long steps are kept; 0 for 14 days.
	Keep time.Duration
	// MaxOctets is how much room they may take, beyond which the oldest go
	// first; 0 for 2 GiB. A quarter of it is for what strangers are refused.
	MaxOctets int64
	// Log is told of housekeeping; nil for silence.
	Log *slog.Logger
}

const (
	// flushEvery is how long a step may wait in memory: so much is lost when
	// the process is killed.
	flushEvery = time.Second
	// flushAt is how many blocks are written without waiting for that.
	flushAt = 16
	// maxWaiting is how many octets of steps of mail may wait in memory, and
	// maxRefusedWaiting of what strangers are refused; more are dropped and
	// counted.
	maxWaiting        = 16 << 20
	maxRefusedWaiting = 4 << 20
	// blocksPerTxn is how many blocks one transaction writes, well within the
	// engine's limits.
	blocksPerTxn = 16
	// purgeEvery is how often old steps are looked for, and purgeRows how many
	// blocks one transaction removes.
	purgeEvery = time.Minute
	purgeRows  = 200
)

// A Store keeps steps, and finds them. It is a Recorder. It is safe for
// concurrent use.
type Store struct {
	db     kv.Store
	o      Options
	writer uint32 // tells this process's rows from those of others

	mu      sync.Mutex     // guards what follows
	desks   [shelves]*desk // where steps wait for their shelf
	step    []byte         // room for one
	dropped int            // steps, since this was told last

	full chan struct{}

	flushing sync.Mutex // held while blocks are written; guards number
	number   uint32     // of the last row
}

// New makes a Store on db. It starts nothing; Run writes.
func New(db kv.Store, o Options) *Store {
	if o.Keep <= 0 {
		o.Keep = 14 * 24 * time.Hour
	}
	if o.MaxOctets <= 0 {
		o.MaxOctets = 2 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	return &Store{db: db, o: o, writer: binary.BigEndian.Uint32(random[:]), desks: [shelves]*desk{newDesk(maxWaiting), newDesk(maxRefusedWaiting)}, full: make(chan struct{}, 1)}
}

// Record implements Recorder: the step waits in memory, written down already,
// until Run takes it to the engine.
func (s *Store) Record(_ context.Context, e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step = appendStep(s.step[:0], &e)
	d := s.desks[shelfOf(&e)]
	if !d.add(&e, s.step) {
		s.dropped++
		return
	}
	if len(d.waiting) >= flushAt {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// take gives the blocks that wait for each shelf, the oldest first, and how
// many steps have been dropped.
func (s *Store) take() (blocks [shelves][]*block, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, d := range s.desks {
		blocks[i] = d.take()
	}
	dropped, s.dropped = s.dropped, 0
	return blocks, dropped
}

// Run writes steps and removes old ones until ctx ends, and then writes what
// waits.
func (s *Store) Run(ctx context.Context) error {
	flush, purge := time.NewTicker(flushEvery), time.NewTicker(purgeEvery)
	defer flush.Stop()
	defer purge.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if err := s.Flush(last); err != nil {
				s.o.Log.Warn("the last steps of messages cannot be written", obs.Err, err)
			}
			return ctx.Err()
		case <-flush.C:
		case <-s.full:
		case now := <-purge.C:
			if _, err := s.Purge(ctx, now); err != nil && ctx.Err() == nil {
				s.o.Log.Warn("old steps of messages cannot be removed", obs.Err, err)
			}
			continue
		}
		if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("steps of messages cannot be written", obs.Err, err)
		}
	}
}

// Flush writes what waits. What cannot be written is dropped: the mail is more
// important than what is told of it.
func (s *Store) Flush(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	all, dropped := s.take()
	if dropped > 0 {
		s.o.Log.Warn("more steps of messages than can be written", "dropped", dropped)
	}
	for i, blocks := range all {
		for some := range slices.Chunk(blocks, blocksPerTxn) {
			if err := s.write(ctx, shelf(i), some); err != nil {
				return fmt.Errorf("write steps: %w", err)
			}
		}
	}
	return nil
}

// write writes blocks in one transaction.
func (s *Store) write(ctx context.Context, on shelf, blocks []*block) error {
	type row struct{ key, value []byte }
	var rows []row
	octets := int64(0)
	for _, b := range blocks {
		s.number++
		at := place(b.newest, s.writer, s.number)
		steps := b.value()
		index := b.index(len(steps))
		rows = append(rows, row{on.stepsKey(at), steps}, row{on.indexKey(at), index})
		octets += int64(len(steps) + len(index))
	}
	return kv.Apply(ctx, s.db, keys.Trace, func(tx kv.Txn) error {
		total, err := on.readTotal(tx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			tx.Put(r.key, r.value)
		}
		on.putTotal(tx, total+octets)
		return nil
	})
}

// Purge removes the steps that are older than is kept, and the oldest of what
// is too much, and tells how many blocks that were.
func (s *Store) Purge(ctx context.Context, now time.Time) (int, error) {
	before, removed := now.Add(-s.o.Keep), 0
	for on := range shelves {
		for n := purgeRows; n == purgeRows; {
			err := kv.Apply(ctx, s.db, keys.Trace, func(tx kv.Txn) (err error) {
				n, err = s.purge(tx, on, before)
				return err
			})
			if err != nil {
				return removed, err
			}
			removed += n
		}
	}
	return removed, nil
}

// purge removes some blocks.
func (s *Store) purge(tx kv.Txn, on shelf, before time.Time) (n int, err error) {
	total, err := on.readTotal(tx)
	if err != nil {
		return 0, err
	}
	var gone [][]byte
	for item, err := range tx.Scan(on.indexKey(nil), on.indexEnd(), kv.ScanOptions{Limit: purgeRows}) {
		if err != nil {
			return 0, err
		}
		if !timeOf(item.Key[1:]).Before(before) && total <= on.room(s.o.MaxOctets) {
			break
		}
		gone = append(gone, bytes.Clone(item.Key))
		if _, octets, err := parseIndex(item.Value); err == nil {
			total -= octets + int64(len(item.Value))
		}
	}
	for _, key := range gone {
		tx.Delete(key)
		tx.Delete(on.stepsKey(key[1:]))
	}
	if len(gone) > 0 {
		on.putTotal(tx, max(total, 0))
	}
	return len(gone), nil
}
