package trace

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// first; 0 for 2 GiB.
	MaxOctets int64
	// Log is told of housekeeping; nil for silence.
	Log *slog.Logger
}

const (
	// flushEvery is how long a step may wait in memory: so much is lost when
	// the process is killed.
	flushEvery = time.Second
	// flushAt is how many steps are written without waiting for that.
	flushAt = 2000
	// maxWaiting is how many steps may wait in memory; more are dropped and
	// counted.
	maxWaiting = 50_000
	// groupsPerTxn is how many messages' steps one transaction writes: with
	// their index rows they are well within the engine's limits.
	groupsPerTxn = 300
	// groupOctets cuts the steps of one message into rows.
	groupOctets = 32 << 10
	// purgeEvery is how often old steps are looked for, and purgeRows how many
	// one transaction removes.
	purgeEvery = time.Minute
	purgeRows  = 200
)

// A Store keeps steps, and finds them. It is a Recorder. It is safe for
// concurrent use.
type Store struct {
	db     kv.Store
	o      Options
	writer uint32 // tells this process's rows from those of others

	mu      sync.Mutex
	waiting []Event // guarded by mu
	number  uint32  // of the last row; used by Run alone
	full    chan struct{}
	dropped atomic.Int64
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
	return &Store{db: db, o: o, writer: binary.BigEndian.Uint32(random[:]), full: make(chan struct{}, 1)}
}

// Record implements Recorder: the step waits in memory until Run writes it.
func (s *Store) Record(_ context.Context, e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.mu.Lock()
	n := len(s.waiting)
	if n < maxWaiting {
		s.waiting = append(s.waiting, e)
	}
	s.mu.Unlock()
	switch {
	case n >= maxWaiting:
		s.dropped.Add(1)
	case n+1 == flushAt:
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
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
// important than what is told of it. One call at a time.
func (s *Store) Flush(ctx context.Context) error {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if n := s.dropped.Swap(0); n > 0 {
		s.o.Log.Warn("more steps of messages than can be written", "dropped", n)
	}
	rows := group(waiting)
	for len(rows) > 0 {
		batch := rows[:min(len(rows), groupsPerTxn)]
		rows = rows[len(batch):]
		if err := s.write(ctx, batch); err != nil {
			return fmt.Errorf("write %d messages' steps: %w", len(batch)+len(rows), err)
		}
	}
	return nil
}

// group puts the steps of each message together, in rows.
func group(all []Event) [][]Event {
	var rows [][]Event
	at, size := map[string]int{}, map[string]int{}
	for _, e := range all {
		key := e.Message
		octets := e.octets()
		n, ok := at[key]
		if key == "" || !ok || size[key]+octets > groupOctets {
			n = len(rows)
			rows = append(rows, nil)
			at[key], size[key] = n, 0
		}
		rows[n] = append(rows[n], e)
		size[key] += octets
	}
	return rows
}

// write writes rows in one transaction.
func (s *Store) write(ctx context.Context, rows [][]Event) error {
	type row struct {
		place []byte
		value []byte
		index [][]byte
	}
	var made []row
	octets := int64(0)
	for _, events := range rows {
		value, err := encode(events)
		if err != nil {
			return err
		}
		s.number++
		r := row{place: place(events[0].Time, s.writer, s.number), value: value, index: index(events)}
		octets += int64(len(value))
		made = append(made, r)
	}
	return kv.Apply(ctx, s.db, keys.Trace, func(tx kv.Txn) error {
		total, err := readTotal(tx)
		if err != nil {
			return err
		}
		for _, r := range made {
			tx.Put(append([]byte{keys.TraceEvents}, r.place...), r.value)
			for _, term := range r.index {
				tx.Put(indexKey(term, r.place), nil)
			}
		}
		putTotal(tx, total+octets)
		return nil
	})
}

// Purge removes the steps that are older than is kept, and the oldest of what
// is too much, and tells how many rows that were.
func (s *Store) Purge(ctx context.Context, now time.Time) (int, error) {
	before, removed := now.Add(-s.o.Keep), 0
	for {
		n := 0
		err := kv.Apply(ctx, s.db, keys.Trace, func(tx kv.Txn) (err error) {
			n, err = s.purge(tx, before)
			return err
		})
		removed += n
		if err != nil || n < purgeRows {
			return removed, err
		}
	}
}

// purge removes some rows.
func (s *Store) purge(tx kv.Txn, before time.Time) (n int, err error) {
	total, err := readTotal(tx)
	if err != nil {
		return 0, err
	}
	for item, err := range tx.Scan([]byte{keys.TraceEvents}, []byte{keys.TraceEvents + 1}, kv.ScanOptions{Limit: purgeRows}) {
		if err != nil {
			return 0, err
		}
		if !timeOf(item.Key[1:]).Before(before) && total <= s.o.MaxOctets {
			break
		}
		if events, err := decode(item.Value); err == nil { // else its index rows lead nowhere, until they are as old
			for _, term := range index(events) {
				tx.Delete(indexKey(term, item.Key[1:]))
			}
		}
		tx.Delete(item.Key)
		total -= int64(len(item.Value))
		n++
	}
	if n > 0 {
		putTotal(tx, max(total, 0))
	}
	return n, nil
}

func readTotal(r kv.Reader) (int64, error) {
	b, err := r.Get([]byte{keys.TraceTotal})
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err == nil && (len(b) != 9 || b[0] != version) {
		err = errors.New("the total of the steps is damaged")
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b[1:])), nil
}

func putTotal(tx kv.Txn, total int64) {
	tx.Put([]byte{keys.TraceTotal}, binary.BigEndian.AppendUint64([]byte{version}, uint64(total)))
}
