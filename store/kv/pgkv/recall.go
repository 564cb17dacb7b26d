package pgkv

import (
	"bytes"
	"container/list"
	"context"
	"sync"

	"waxwing/store/kv"
)

// What a commit leaves in memory for the next session of its partition.
//
// A delivery reads again what the one before it has written: the head of its
// account. So a session leaves the version and the writers of its partition
// with what was asked for in it, and the next begins with that, as if it had
// just read it. Nothing rests on it: a session that assumes the state of
// another one commits by a statement that demands that very state (version and
// writers), and one that wrote nothing asks for them before its functions'
// results count. Writers name the last transaction by a number that nobody
// else gives, so equal ones mean an equal state, also after the database has
// been brought back to an older one. Where another process has written, the
// functions run again, and the next sessions read first.

// What is kept at most, of a partition and of all.
const (
	recallKeys   = 64
	recallOctets = 8 << 10
	recallAll    = 8 << 20
	recallParts  = 8192

	// So many sessions of a partition read first after one has assumed what was
	// no longer so: the other process is likely to write again.
	recallAlone = 16
)

// A recalled is what is kept of one partition.
type recalled struct {
	p       kv.Partition
	version kv.Version
	writers []byte
	known   memory
	alone   int // sessions that have still to read first; nothing else is kept then
}

// cost is what it takes of memory, roughly.
func (r *recalled) cost() int { return 128 + len(r.writers) + r.known.octets }

// A recall has what is kept of partitions; those used least recently go first
// when it is too much.
type recall struct {
	mu     sync.Mutex // guards all
	of     map[kv.Partition]*list.Element
	recent list.List // of *recalled, the newest first
	octets int
}

// take takes out what is kept of p; nil for nothing.
func (c *recall) take(p kv.Partition) *recalled {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.of[p]
	if e == nil {
		return nil
	}
	r := e.Value.(*recalled)
	if r.alone > 0 {
		r.alone--
		return nil
	}
	c.remove(e)
	return r
}

// keep takes r over.
func (c *recall) keep(r *recalled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of[r.p]; e != nil {
		if e.Value.(*recalled).alone > 0 && r.alone == 0 {
			return
		}
		c.remove(e)
	}
	if c.of == nil {
		c.of = make(map[kv.Partition]*list.Element)
	}
	c.of[r.p] = c.recent.PushFront(r)
	c.octets += r.cost()
	for c.octets > recallAll || len(c.of) > recallParts {
		c.remove(c.recent.Back())
	}
}

// outdated forgets what is kept of p if it is older than version.
func (c *recall) outdated(p kv.Partition, version kv.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of[p]; e != nil && e.Value.(*recalled).alone == 0 && e.Value.(*recalled).version < version {
		c.remove(e)
	}
}

func (c *recall) remove(e *list.Element) {
	r := e.Value.(*recalled)
	c.recent.Remove(e)
	c.octets -= r.cost()
	delete(c.of, r.p)
}

// recall lets a session begin where the one before it has ended.
func (of *session) recall() {
	if r := of.s.recalls.take(of.p); r != nil {
		of.looked, of.assumed = true, true
		of.version, of.others, of.before = r.version, r.writers, r.known
	}
}

// remember leaves what the next session may begin with. writers are those of
// the partition now.
func (of *session) remember(writers []byte) {
	r := &recalled{p: of.p, version: of.version + kv.Version(of.writers), writers: writers}
	for _, key := range of.known.asked {
		value := of.known.values[key]
		if written, ok := of.over.get([]byte(key)); ok {
			value = written
		}
		if len(r.known.asked) == recallKeys || r.known.octets+memoryCost(key, value) > recallOctets {
			break
		}
		r.known.add([]byte(key), bytes.Clone(value))
	}
	of.s.recalls.keep(r)
}

// recalled gives what the session knows of a key without asking.
func (of *session) recalled(key []byte) (value []byte, known bool) {
	if value, known = of.known.get(key); known {
		return value, true
	}
	if value, known = of.before.get(key); known {
		of.known.add(key, value)
	}
	return value, known
}

// confirm makes sure of what the session has assumed.
func (of *session) confirm(ctx context.Context) error {
	if of.broken != nil || !of.assumed {
		return of.broken
	}
	_, err := of.look(ctx, nil)
	return err
}
