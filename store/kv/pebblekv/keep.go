package pebblekv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/obs"
)

// positionKey is where Pebble holds the place in the log below which it has
// everything. It is shorter than the number of a partition, and so in none.
var positionKey = []byte{0}

// noteEvery is how many octets the log grows by between two such notes.
const noteEvery = 1 << 20

// A keeper looks after the log while the store is open: it tells Pebble how
// far it has come, bounds what a start has to read, and collects garbage.
type keeper struct {
	s         *Store
	compactor *compactor
	wake      chan struct{} // one thing at least may be due
	collect   chan struct{} // segments may be worth collecting
	trouble   chan struct{} // background work of Pebble's has failed
	ending    chan struct{} // closed by stop
	running   sync.WaitGroup

	noted    atomic.Uint64 // place that was last told to Pebble
	flushed  atomic.Uint64 // place that is durable with Pebble
	flushing atomic.Bool   // we have asked for a flush
	fresh    atomic.Bool   // there has been a flush
	churn    atomic.Int64  // values that have died since the last look
}

func newKeeper(s *Store) *keeper {
	return &keeper{
		s: s, compactor: newCompactor(),
		wake: make(chan struct{}, 1), collect: make(chan struct{}, 1), trouble: make(chan struct{}, 1),
		ending: make(chan struct{}),
	}
}

// start begins with a log that ends at end, of which Pebble has durably what
// is below from.
func (k *keeper) start(from, end place) {
	k.flushed.Store(uint64(from))
	k.noted.Store(uint64(from))
	k.running.Go(k.run)
	k.running.Go(k.runCollector)
	k.running.Go(func() { k.compactor.run(k.ending) })
	prompt(k.collect)
}

func (k *keeper) stop() {
	close(k.ending)
	k.running.Wait()
}

// prompt wakes who waits for ch, without waiting for him.
func prompt(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// told is told after each group of the log.
func (k *keeper) told() {
	applied := k.s.log.applied.Load()
	if k.between(k.noted.Load(), applied) >= noteEvery ||
		k.between(k.flushed.Load(), applied) >= replayBound && !k.flushing.Load() {
		prompt(k.wake)
	}
}

// flushEnded is told after each flush of Pebble's, which holds its locks.
func (k *keeper) flushEnded() {
	k.flushing.Store(false)
	k.fresh.Store(true)
	prompt(k.wake)
}

// between tells how much log lies between two places, about.
func (k *keeper) between(from, to uint64) int64 {
	a, b := place(from), place(to)
	return (int64(b.segment())-int64(a.segment()))*k.s.o.SegmentSize + int64(b.offset()) - int64(a.offset())
}

func (k *keeper) run() {
	for {
		select {
		case <-k.ending:
			return
		case <-k.wake:
		}
		if k.s.failed.Load() != nil {
			continue
		}
		if err := k.look(); err != nil {
			k.s.o.Log.Error("log cannot be kept short", obs.Err, err)
		}
	}
}

// look does what is due.
func (k *keeper) look() error {
	applied := k.s.log.applied.Load()
	if k.between(k.noted.Load(), applied) >= noteEvery {
		if err := k.note(place(applied)); err != nil {
			return err
		}
	}
	if k.fresh.Swap(false) {
		if err := k.readFlushed(); err != nil {
			return err
		}
	}
	if k.between(k.flushed.Load(), applied) >= replayBound && k.flushing.CompareAndSwap(false, true) {
		if err := k.note(place(applied)); err != nil {
			return err
		}
		if _, err := k.s.db.AsyncFlush(); err != nil {
			return err
		}
	}
	return nil
}

// note tells Pebble that it has all that lies below p.
func (k *keeper) note(p place) error {
	v := append(make([]byte, 0, 17), 1) // version
	v = binary.BigEndian.AppendUint64(v, uint64(p))
	v = binary.BigEndian.AppendUint64(v, uint64(k.churn.Load()))
	if err := k.s.db.Set(positionKey, v, pebble.NoSync); err != nil {
		return fmt.Errorf("note position in the log: %w", err)
	}
	k.noted.Store(uint64(p))
	return nil
}

// readFlushed finds how far Pebble's tables go.
func (k *keeper) readFlushed() error {
	it, err := k.s.db.NewIter(&pebble.IterOptions{OnlyReadGuaranteedDurable: true, UpperBound: []byte{0, 0}})
	if err != nil {
		return fmt.Errorf("read position in the log: %w", err)
	}
	var p place
	if it.First() {
		p, _, err = parsePosition(it.Value())
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return fmt.Errorf("read position in the log: %w", err)
	}
	if uint64(p) > k.flushed.Load() {
		k.flushed.Store(uint64(p))
		prompt(k.collect)
	}
	return nil
}

// position reads from Pebble from where on the log has to be read.
func (s *Store) position() (place, error) {
	v, closer, err := s.db.Get(positionKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read position in the log: %w", err)
	}
	p, churn, err := parsePosition(v)
	s.keeper.churn.Store(churn)
	return p, errors.Join(err, closer.Close())
}

func parsePosition(v []byte) (p place, churn int64, err error) {
	if len(v) != 17 || v[0] != 1 {
		return 0, 0, fmt.Errorf("position in the log is unknown: % x", v)
	}
	return place(binary.BigEndian.Uint64(v[1:])), int64(binary.BigEndian.Uint64(v[9:])), nil
}

// flushLast leaves nothing in Pebble's memory, unless it cannot be written.
func (k *keeper) flushLast() error {
	p := k.s.log.end
	if p == place(k.flushed.Load()) {
		return nil
	}
	if err := k.note(p); err != nil {
		return err
	}
	select {
	case <-k.trouble: // of before
	default:
	}
	done, err := k.s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
	case <-k.trouble: // it is all in the log
	}
	return nil
}

// churned is told how many values a transaction may have made garbage.
func (k *keeper) churned(n int) {
	if n > 0 && k.churn.Add(int64(n)) >= k.worthLooking() {
		prompt(k.collect)
	}
}
