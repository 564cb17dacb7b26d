package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
)

// A reader reads one partition from a snapshot, or for a txn the newest state.
type reader struct {
	ctx    context.Context
	source pebble.Reader
	prefix [8]byte
	log    *bodyLog
	own    *record // of a txn: values that it has written itself
	end    []byte  // the first key behind the partition; nil for none
	key    []byte  // the last key made by at
	arena  []byte  // room for values that have been read
	packed []byte  // room for one that has been read and is to be unpacked

	spare func(key []byte, err error) // see kv.Spare; nil where damage is an error
}

// Spare does what kv.Spare says.
func (r *reader) Spare(told func(key []byte, err error)) { r.spare = told }

func (r *reader) setPartition(p kv.Partition) {
	binary.BigEndian.PutUint64(r.prefix[:], uint64(p))
	r.end = kv.PrefixEnd(r.prefix[:])
}

// at gives key as Pebble has it, until the next call.
func (r *reader) at(key []byte) []byte {
	r.key = append(append(r.key[:0], r.prefix[:]...), key...)
	return r.key
}

// room gives n octets that live as long as the reader.
func (r *reader) room(n int) []byte {
	if cap(r.arena)-len(r.arena) < n || r.arena == nil {
		r.arena = make([]byte, 0, max(1<<10, min(2*cap(r.arena), 64<<10), n))
	}
	have := len(r.arena)
	r.arena = r.arena[:have+n]
	return r.arena[have : have+n : have+n]
}

var errNoTag = errors.New("value without a tag")

// value gives the value that Pebble holds under a key, in whole or as a
// reference, as a copy in what room gives. It is never nil, as a missing value is.
func (r *reader) value(key, held []byte, room func(n int) []byte) ([]byte, error) {
	if len(held) == 0 {
		return nil, errNoTag
	}
	if held[0] == tagPlain {
		b := room(len(held) - 1)
		copy(b, held[1:])
		return b, nil
	}
	ref, err := parseReference(held)
	if err != nil {
		return nil, err
	}
	b := room(int(ref.whole))
	if err := r.fetch(ref, b); err != nil {
		if err := r.spared(key, ref, err); err != nil {
			return nil, err
		}
		return []byte{}, nil
	}
	return b, nil
}

// spared tells whoever has asked to be spared of a damaged value; else, and if it
// is not damage, it gives the error.
func (r *reader) spared(key []byte, ref reference, err error) error {
	damage := r.damage(key, ref, err)
	if r.spare == nil || !errors.Is(damage, kv.ErrDamaged) {
		return damage
	}
	r.spare(damage.Key, damage)
	return nil
}

// damage says that the value under a key cannot be had.
func (r *reader) damage(key []byte, ref reference, err error) *Damage {
	return &Damage{
		File: segmentName(ref.place.segment()), Offset: int64(ref.place.offset()),
		Partition: kv.Partition(binary.BigEndian.Uint64(r.prefix[:])), Key: bytes.Clone(key), Err: err,
	}
}

// fetch fills b with the value that ref means.
func (r *reader) fetch(ref reference, b []byte) error {
	if ref.place.segment() == 0 {
		copy(b, r.own.values[ref.place.offset():])
		return nil
	}
	if ref.tag == tagLog {
		return r.log.read(ref, b)
	}
	r.packed = slices.Grow(r.packed[:0], int(ref.length))[:ref.length]
	if err := r.log.read(ref, r.packed); err != nil {
		return err
	}
	return r.log.packer.unpack(b, r.packed)
}

func (r *reader) Get(key []byte) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	held, closer, err := r.source.Get(r.at(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, kv.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	value, err := r.value(key, held, r.room)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return value, nil
}

// manyKeys is from how many keys on GetMany sorts them and goes through them
// with one iterator. That is cheaper where the keys lie close to each other in
// the same tables. A search for each stops at the newest table that has the
// key, where an iterator looks into all of them: for the few rows that every
// change of an account reads and writes again, it reads blocks in vain.
const manyKeys = 17

func (r *reader) GetMany(keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) >= manyKeys {
		return values, r.getSorted(keys, func(i int, held []byte) (err error) {
			values[i], err = r.value(keys[i], held, r.room)
			return err
		})
	}
	for i, key := range keys {
		value, err := r.Get(key)
		if err != nil && err != kv.ErrNotFound {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// getSorted calls found with what Pebble holds for those of the keys that are
// there, in the order of the keys' octets.
func (r *reader) getSorted(keys [][]byte, found func(i int, held []byte) error) (err error) {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		slices.SortFunc(order, func(i, j int) int { return bytes.Compare(keys[i], keys[j]) })
	}
	it, err := r.source.NewIterWithContext(r.ctx, &pebble.IterOptions{LowerBound: r.prefix[:], UpperBound: r.end})
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = fmt.Errorf("read keys: %w", e)
		}
	}()
	for _, i := range order {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		// All of a key is its prefix, so this asks the filters of the tables.
		if !it.SeekPrefixGE(r.at(keys[i])) {
			if err := it.Error(); err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			continue
		}
		held, err := it.ValueAndErr()
		if err == nil {
			err = found(i, held)
		}
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
	}
	return nil
}

func (r *reader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		if err := r.scan(lo, hi, o, yield); err != nil {
			yield(kv.Item{}, err)
		}
	}
}

// scan gives nil also when yield wants no more.
func (r *reader) scan(lo, hi []byte, o kv.ScanOptions, yield func(kv.Item, error) bool) (err error) {
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	bounds := pebble.IterOptions{LowerBound: append(r.prefix[:], lo...), UpperBound: r.end}
	if hi != nil {
		bounds.UpperBound = append(r.prefix[:], hi...)
	}
	it, err := r.source.NewIterWithContext(r.ctx, &bounds)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	stopped := false
	defer func() {
		if e := it.Close(); e != nil && err == nil && !stopped {
			err = fmt.Errorf("scan: %w", e)
		}
	}()
	first, next := it.First, it.Next
	if o.Reverse {
		first, next = it.Last, it.Prev
	}
	var kept []byte // the value, until the next step
	room := func(n int) []byte {
		if kept == nil || n > cap(kept) {
			kept = make([]byte, max(n, 256))
		}
		return kept[:n:n]
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		item := kv.Item{Key: it.Key()[len(r.prefix):]}
		if !o.KeysOnly {
			held, err := it.ValueAndErr()
			if err == nil {
				item.Value, err = r.value(item.Key, held, room)
			}
			if err != nil {
				return fmt.Errorf("scan: %w", err)
			}
		}
		if !yield(item, nil) {
			stopped = true
			return nil
		}
		if n++; n == o.Limit {
			return nil
		}
	}
	return nil // Close gives the iterator's error
}
