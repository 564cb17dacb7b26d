// Package cache keeps what has been found out in bounded memory: values with a
// size and a time until which they hold. What has not been used for longest
// goes first. It knows nothing of DNS.
package cache

import (
	"hash/maphash"
	"sync"
	"time"
)

// shards is how many parts with locks of their own a cache has.
const shards = 16

// entryOverhead is what an entry costs beside its value: the element, its
// place in the map, the key.
const entryOverhead = 160

// A Cache maps keys to values until they expire. Make one with New. Safe for
// concurrent use; values are shared and must not be changed.
type Cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu      sync.Mutex
	limit   int
	used    int                // guarded by mu
	entries map[K]*entry[K, V] // guarded by mu
	// ends closes the ring: ends.newer is the oldest entry, ends.older the newest.
	ends entry[K, V] // guarded by mu
}

type entry[K comparable, V any] struct {
	key          K
	value        V
	size         int
	expires      time.Time
	older, newer *entry[K, V]
}

// New makes a cache that holds at most so many bytes, by the sizes that Put is
// told.
func New[K comparable, V any](maxBytes int) *Cache[K, V] {
	c := &Cache[K, V]{seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.limit = maxBytes / shards
		s.entries = make(map[K]*entry[K, V])
		s.ends.older, s.ends.newer = &s.ends, &s.ends
	}
	return c
}

func (c *Cache[K, V]) shard(key K) *shard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, key)%shards]
}

// Get gives a value that has not expired.
func (c *Cache[K, V]) Get(key K, now time.Time) (V, bool) {
	v, expires, ok := c.Peek(key)
	return v, ok && now.Before(expires)
}

// Peek gives a value that may have expired, and when it did or will.
func (c *Cache[K, V]) Peek(key K) (value V, expires time.Time, ok bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		return value, expires, false
	}
	s.unlink(e)
	s.link(e)
	return e.value, e.expires, true
}

// Put keeps a value of so many bytes until it expires or room is needed. What
// alone is larger than a part of the cache is not kept.
func (c *Cache[K, V]) Put(key K, value V, size int, expires time.Time) {
	size += entryOverhead
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		s.remove(e)
	}
	if size > s.limit {
		return
	}
	for s.used+size > s.limit {
		s.remove(s.ends.newer) // the oldest: the list is a ring
	}
	e := &entry[K, V]{key: key, value: value, size: size, expires: expires}
	s.entries[key] = e
	s.used += size
	s.link(e)
}

// Delete forgets a value.
func (c *Cache[K, V]) Delete(key K) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		s.remove(e)
	}
}

// Len is how many values there are, expired ones too, and how many bytes they
// take.
func (c *Cache[K, V]) Len() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries += len(s.entries)
		bytes += s.used
		s.mu.Unlock()
	}
	return entries, bytes
}

func (s *shard[K, V]) remove(e *entry[K, V]) {
	s.unlink(e)
	delete(s.entries, e.key)
	s.used -= e.size
}

// link makes an entry the newest: last before the ends, as seen from the
// oldest.
func (s *shard[K, V]) link(e *entry[K, V]) {
	e.older, e.newer = s.ends.older, &s.ends
	e.older.newer, s.ends.older = e, e
}

func (s *shard[K, V]) unlink(e *entry[K, V]) {
	e.older.newer, e.newer.older = e.newer, e.older
}
