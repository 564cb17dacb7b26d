package pebblekv

import (
	"sync"

	"waxwing/store/kv"
)

// Where values lie in the log that never change, such as bodies of messages, is
// remembered: reading a mailbox again then asks Pebble for none of them. What is
// remembered may have become wrong, as the collector moves values on and removes
// segments. The checksum of what is read tells.

// A fixedKey is a key in its partition, of up to maxFixed octets.
type fixedKey struct {
	partition [8]byte
	length    uint8
	key       [maxFixed]byte
}

const maxFixed = 39

// fixedPlaces remembers places, in two generations of which the older one goes
// when the newer one is full. The zero value is ready.
type fixedPlaces struct {
	mu       sync.RWMutex // guards what follows
	now, old map[fixedKey]reference
}

// maxPlaces bounds a generation: some 8 MiB.
const maxPlaces = 64 << 10

// key makes a fixedKey; false for a key that is too long.
func (r *reader) fixedKey(key []byte) (k fixedKey, ok bool) {
	if len(key) > maxFixed {
		return k, false
	}
	k.partition, k.length = r.prefix, uint8(len(key))
	copy(k.key[:], key)
	return k, true
}

// GetFixed implements kv.FixedReader.
func (r *reader) GetFixed(keys [][]byte, room *kv.Room) error {
	// A transaction reads few; and where damage is no error a place that has become
	// wrong would be taken for it.
	if r.own != nil || r.spare != nil {
		return r.GetInto(keys, room)
	}
	own := r.begin(keys, room)
	missing := r.recall(keys, own)
	known := len(own.refs)
	err := r.lookUpSome(keys, missing, own, room)
	if err == nil {
		if err = r.finish(keys, own, room); err == nil {
			r.remember(keys, own.refs)
			return nil
		}
	}
	if known == 0 || r.ctx.Err() != nil {
		return err
	}
	r.forget(keys)
	return r.GetInto(keys, room)
}

// Locate implements kv.FixedReader.
func (r *reader) Locate(keys [][]byte) error {
	var own roomy
	var room kv.Room // for values that are not in the log
	missing := r.recall(keys, &own)
	known := len(own.refs)
	if err := r.lookUpSome(keys, missing, &own, &room); err != nil {
		return err
	}
	r.remember(keys, own.refs[known:])
	return nil
}

// recall finds what is remembered, and tells which keys are not.
func (r *reader) recall(keys [][]byte, own *roomy) (missing []int) {
	f := &r.log.fixed
	f.mu.RLock()
	defer f.mu.RUnlock()
	for i, key := range keys {
		if k, ok := r.fixedKey(key); ok {
			ref, there := f.now[k]
			if !there {
				ref, there = f.old[k]
			}
			if there {
				own.refs = append(own.refs, wanted{i, ref})
				continue
			}
		}
		missing = append(missing, i)
	}
	return missing
}

// lookUpSome looks some of the keys up.
func (r *reader) lookUpSome(keys [][]byte, some []int, own *roomy, room *kv.Room) error {
	if len(some) == 0 {
		return nil
	}
	if len(some) == len(keys) {
		return r.lookUp(keys, func(i int, held []byte) error { return own.found(i, held, room) })
	}
	ask := make([][]byte, len(some))
	for k, i := range some {
		ask[k] = keys[i]
	}
	return r.lookUp(ask, func(k int, held []byte) error { return own.found(some[k], held, room) })
}

// remember keeps the places of values.
func (r *reader) remember(keys [][]byte, refs []wanted) {
	f := &r.log.fixed
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range refs {
		k, ok := r.fixedKey(keys[w.index])
		if !ok {
			continue
		}
		if _, there := f.now[k]; there {
			continue
		}
		if len(f.now) >= maxPlaces {
			f.now, f.old = nil, f.now
		}
		if f.now == nil {
			f.now = make(map[fixedKey]reference)
		}
		f.now[k] = w.ref
	}
}

// forget forgets them.
func (r *reader) forget(keys [][]byte) {
	f := &r.log.fixed
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		if k, ok := r.fixedKey(key); ok {
			delete(f.now, k)
			delete(f.old, k)
		}
	}
}
