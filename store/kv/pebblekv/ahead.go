package pebblekv

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
)

// What is read together was often written together: the bodies of a mailbox lie
// in the log in the order in which they came. Reading ahead takes stretches of
// it at once, with what lies between.

// maxStretch bounds what is read at once, and maxBetween what nobody has asked
// for between two values.
const (
	maxStretch = 512 << 10
	maxBetween = 8 << 10
)

var _ kv.FixedReader = (*reader)(nil)

// A roomy is what GetInto uses again.
type roomy struct {
	spans []span
	refs  []wanted
}

// A span is where in the room the value of a key lies.
type span struct{ index, from, length int }

// A wanted is a value that lies in the log.
type wanted struct {
	index int
	ref   reference
}

// GetInto implements kv.RoomReader.
func (r *reader) GetInto(keys [][]byte, room *kv.Room) error {
	own := r.begin(keys, room)
	if err := r.lookUp(keys, func(i int, held []byte) error { return own.found(i, held, room) }); err != nil {
		return err
	}
	return r.finish(keys, own, room)
}

// begin empties a room for the values of keys.
func (r *reader) begin(keys [][]byte, room *kv.Room) *roomy {
	own, ok := room.Engine.(*roomy)
	if !ok {
		own = new(roomy)
		room.Engine = own
	}
	own.spans, own.refs = own.spans[:0], own.refs[:0]
	room.Octets, room.Values = room.Octets[:0], room.Values[:0]
	for range keys {
		room.Values = append(room.Values, nil)
	}
	return own
}

// found takes what Pebble holds under a key.
func (own *roomy) found(i int, held []byte, room *kv.Room) error {
	if len(held) == 0 {
		return errNoTag
	}
	if held[0] == tagPlain {
		own.spans = append(own.spans, span{i, len(room.Octets), len(held) - 1})
		room.Octets = append(room.Octets, held[1:]...)
		return nil
	}
	ref, err := parseReference(held)
	own.refs = append(own.refs, wanted{i, ref})
	return err
}

// finish reads what lies in the log.
func (r *reader) finish(keys [][]byte, own *roomy, room *kv.Room) error {
	if err := r.readAhead(keys, own, room); err != nil {
		return err
	}
	for _, s := range own.spans {
		room.Values[s.index] = room.Octets[s.from : s.from+s.length : s.from+s.length]
	}
	return nil
}

// lookUp calls found with what Pebble holds for those of the keys that there
// are, in any order.
func (r *reader) lookUp(keys [][]byte, found func(i int, held []byte) error) error {
	if len(keys) >= manyKeys {
		return r.getSorted(keys, found)
	}
	for i, key := range keys {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		held, closer, err := r.source.Get(r.at(key))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err == nil {
			err = errors.Join(found(i, held), closer.Close())
		}
		if err != nil {
			return fmt.Errorf("read key: %w", err)
		}
	}
	return nil
}

// readAhead reads values of the log, in stretches where they lie close together.
func (r *reader) readAhead(keys [][]byte, own *roomy, room *kv.Room) error {
	slices.SortFunc(own.refs, func(a, b wanted) int { return a.index - b.index }) // as they are asked for
	settled := place(r.log.written.Load())                                        // what is behind it may lie in memory
	for rest := own.refs; len(rest) > 0; {
		n := stretch(rest, settled)
		if n < 2 || r.spare != nil { // one by one: what is damaged harms only itself
			w := rest[0]
			at := grow(room, int(w.ref.whole))
			if err := r.fetch(w.ref, room.Octets[at:]); err != nil {
				if err := r.spared(keys[w.index], w.ref, err); err != nil {
					return err
				}
				w.ref.whole = 0
			}
			own.spans = append(own.spans, span{w.index, at, int(w.ref.whole)})
			rest = rest[1:]
			continue
		}
		if err := r.readStretch(keys, own, rest[:n], room); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// stretch tells how many of the values, which are not compressed, lie one
// behind the other in one file.
func stretch(list []wanted, settled place) int {
	first := list[0].ref.place
	for n, end := 0, first; ; n++ {
		if n == len(list) {
			return n
		}
		ref := list[n].ref
		if ref.tag != tagLog || ref.place < end || ref.place > end+maxBetween ||
			ref.place.segment() != first.segment() || ref.place.segment() == 0 {
			return n
		}
		if end = ref.place + place(ref.length); end > settled || end > first+maxStretch {
			return n
		}
	}
}

// readStretch reads values that lie close together.
func (r *reader) readStretch(keys [][]byte, own *roomy, list []wanted, room *kv.Room) error {
	first, last := list[0].ref, list[len(list)-1].ref
	at := grow(room, int(last.place-first.place)+int(last.length))
	b := room.Octets[at:]
	if err := r.log.segments.readAt(b, first.place); err != nil {
		return r.damage(keys[list[0].index], first, err)
	}
	for _, w := range list {
		from := int(w.ref.place - first.place)
		if checksum(b[from:from+int(w.ref.length)]) != w.ref.sum {
			return r.damage(keys[w.index], w.ref, errChecksum)
		}
		own.spans = append(own.spans, span{w.index, at + from, int(w.ref.length)})
	}
	return nil
}

// grow makes the room n octets longer, and gives where they begin.
func grow(room *kv.Room, n int) int {
	at := len(room.Octets)
	if at+n > cap(room.Octets) {
		bigger := make([]byte, at, max(at+n, 2*cap(room.Octets)))
		copy(bigger, room.Octets)
		room.Octets = bigger
	}
	room.Octets = room.Octets[:at+n]
	return at
}
