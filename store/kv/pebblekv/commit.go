package pebblekv

import (
	"context"
	"sync"
	"sync/atomic"

	"waxwing/store/kv"
)

// A commit has its place in the log. The nil commit is durable.
type commit struct {
	store     *Store
	partition kv.Partition
	part      *partition
	group     *group
	place     place   // of its record
	end       place   // of its record
	record    *record // until it is durable
	sum       uint32  // checksum of its batch

	// halves counts what is still to happen: that it is durable in the log,
	// and that it can be read in Pebble.
	halves atomic.Int32

	after *commit // for one that wrote nothing: what it has read
}

// Wait implements kv.Commit.
func (c *commit) Wait(ctx context.Context) error {
	if c == nil {
		return nil
	}
	if c.group == nil {
		return c.after.Wait(ctx)
	}
	select {
	case <-c.group.done:
		return c.group.err
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.store.log.lead(c.group)
	select {
	case <-c.group.done:
		return c.group.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Version implements kv.Commit.
func (c *commit) Version() kv.Version { return kv.Version(c.place) }

// arrived is called when one half has happened. A commit of which one half
// has failed stays in the table of partitions, so that nobody views them.
func (c *commit) arrived() {
	if c.halves.Add(-1) == 0 {
		c.store.parts.durable(c)
		c.store.watchers.Wake(c.partition, kv.Version(c.place))
	}
}

// parts is the table of the partitions that are being written to. The zero
// value is ready.
type parts struct {
	mu     sync.Mutex // guards what follows and all in the parts but the channel
	of     map[kv.Partition]*partition
	latest map[kv.Partition]place // newest commits of some partitions, durable or not
}

// maxLatest bounds the partitions of which that is known.
const maxLatest = 4096

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

// last gives what newest gives, and the place of the newest commit of all; 0 if
// that is not known.
func (ps *parts) last(p kv.Partition) (*commit, place) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if part := ps.of[p]; part != nil {
		return part.newest, ps.latest[p]
	}
	return nil, ps.latest[p]
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
	switch {
	case ps.latest == nil:
		ps.latest = make(map[kv.Partition]place)
	case len(ps.latest) >= maxLatest:
		clear(ps.latest)
	}
	ps.latest[p] = c.place
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
