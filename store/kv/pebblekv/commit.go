package pebblekv

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
)

// A commit has its place in the log. The nil commit is durable.
type commit struct {
	partition kv.Partition
	part      *partition
	batch     *pebble.Batch
	version   kv.Version
	done      chan struct{} // closed when err is known
	err       error

	after *commit // for one that wrote nothing: what it has read
}

// Wait implements kv.Commit.
func (c *commit) Wait(ctx context.Context) error {
	if c == nil {
		return nil
	}
	if c.done == nil {
		return c.after.Wait(ctx)
	}
	select {
	case <-c.done:
		return c.err
	default:
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Version implements kv.Commit.
func (c *commit) Version() kv.Version { return c.version }

func (c *commit) finish(err error) {
	c.err = err
	close(c.done)
}

// parts is the table of the partitions that are being written to. The zero
// value is ready.
type parts struct {
	mu sync.Mutex // guards what follows and all in the parts but the channel
	of map[kv.Partition]*partition
}

// A partition is one with a writer or with a commit that is not durable.
type partition struct {
	users  int
	writer chan struct{} // holds one token while somebody writes
	newest *commit       // nil once it is durable
}

// hold gives the part of p, for use until release.
func (ps *parts) hold(p kv.Partition) *partition {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	part := ps.of[p]
	if part == nil {
		part = &partition{writer: make(chan struct{}, 1)}
		if ps.of == nil {
			ps.of = make(map[kv.Partition]*partition)
		}
		ps.of[p] = part
	}
	part.users++
	return part
}

func (ps *parts) release(p kv.Partition, part *partition) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.releaseLocked(p, part)
}

func (ps *parts) releaseLocked(p kv.Partition, part *partition) {
	part.users--
	if part.users == 0 {
		delete(ps.of, p)
	}
}

// newest gives the newest commit of p that is not known to be durable.
func (ps *parts) newest(p kv.Partition) *commit {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if part := ps.of[p]; part != nil {
		return part.newest
	}
	return nil
}

// pending gives the newest commits of all partitions.
func (ps *parts) pending() []*commit {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var all []*commit
	for _, part := range ps.of {
		if part.newest != nil {
			all = append(all, part.newest)
		}
	}
	return all
}

// enter makes c the newest commit, which holds the part until it is durable.
func (ps *parts) enter(p kv.Partition, part *partition, c *commit) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	part.newest = c
	part.users++
}

// durable takes c out again.
func (ps *parts) durable(c *commit) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if c.part.newest == c {
		c.part.newest = nil
	}
	ps.releaseLocked(c.partition, c.part)
}

// A syncer waits for the syncs of all commits, in the order of the log but for
// races between partitions: one goroutine that is woken once for each sync of
// the disk and finds all commits of that sync at once.
type syncer struct {
	store *Store
	ended chan struct{}

	mu     sync.Mutex // guards what follows
	more   *sync.Cond
	queue  []*commit
	closed bool
}

func startSyncer(s *Store) *syncer {
	sy := &syncer{store: s, ended: make(chan struct{})}
	sy.more = sync.NewCond(&sy.mu)
	go sy.run()
	return sy
}

// add takes a commit that has been applied.
func (sy *syncer) add(c *commit) {
	sy.mu.Lock()
	defer sy.mu.Unlock()
	sy.queue = append(sy.queue, c)
	if len(sy.queue) == 1 {
		sy.more.Signal()
	}
}

// stop returns when all commits that were added are done.
func (sy *syncer) stop() {
	sy.mu.Lock()
	sy.closed = true
	sy.more.Signal()
	sy.mu.Unlock()
	<-sy.ended
}

func (sy *syncer) run() {
	defer close(sy.ended)
	var work []*commit
	for {
		sy.mu.Lock()
		for len(sy.queue) == 0 && !sy.closed {
			sy.more.Wait()
		}
		if len(sy.queue) == 0 {
			sy.mu.Unlock()
			return
		}
		work, sy.queue = sy.queue, work[:0]
		sy.mu.Unlock()
		for i, c := range work {
			sy.settle(c)
			work[i] = nil
		}
	}
}

// settle waits for the sync of one commit and tells everybody. Partitions
// whose commit failed stay in the table, so that nobody views them.
func (sy *syncer) settle(c *commit) {
	s := sy.store
	if err := c.batch.SyncWait(); err != nil {
		s.fail(err)
	}
	if f := s.failed.Load(); f != nil {
		c.finish(f.err)
		return
	}
	s.parts.durable(c)
	c.finish(nil)
	c.batch.Close()
	c.batch = nil
	s.watchers.Wake(c.partition, c.version)
}
