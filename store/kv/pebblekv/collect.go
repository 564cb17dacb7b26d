package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/obs"
	"waxwing/store/kv"
)

// Collecting. A segment of which less than half is still referred to is read
// from end to end; what is live is written to the log again, compressed where
// that pays, by ordinary transactions of its partition; then the file is
// removed. All this takes its time: four fifths of it are pauses.

const (
	// lookPer is how many values must have died, for each segment, before
	// all are looked at again.
	lookPer = 512
	// samples is at how many places of a segment is looked, and sampled how
	// many records at each.
	samples, sampled = 32, 8
	// moveOctets and moveValues bound what is moved at once.
	moveOctets, moveValues = 1 << 20, 1000
)

// errEnding ends collecting when the store closes.
var errEnding = errors.New("store is closing")

// worthLooking is how many values must have died before it pays to look.
func (k *keeper) worthLooking() int64 {
	return lookPer * int64(max(1, k.s.log.segments.count()))
}

func (k *keeper) runCollector() {
	for {
		select {
		case <-k.ending:
			return
		case <-k.collect:
		}
		if k.s.failed.Load() != nil {
			continue
		}
		if err := k.collectDue(); err != nil && !errors.Is(err, errEnding) {
			k.s.o.Log.Error("log cannot be collected", obs.Err, err)
		}
	}
}

// pause waits four times as long as the work since began has taken.
func (k *keeper) pause(began time.Time) error {
	t := time.NewTimer(4 * time.Since(began))
	defer t.Stop()
	select {
	case <-k.ending:
		return errEnding
	case <-t.C:
		return nil
	}
}

// collectDue goes through all segments, oldest first: it looks at each anew if
// that pays, and collects those that are worth it.
func (k *keeper) collectDue() error {
	ss := &k.s.log.segments
	look := k.churn.Load() >= k.worthLooking()
	if look {
		k.churn.Store(0)
	}
	for _, number := range ss.settled(place(k.flushed.Load())) {
		if look {
			began := time.Now()
			live, err := k.estimate(number)
			if k.spared(number, err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("look at %s: %w", segmentName(number), err)
			}
			ss.setLive(number, live)
			if err := k.pause(began); err != nil {
				return err
			}
		}
		if !ss.worthCollecting(number, k.s.o.SegmentSize) {
			continue
		}
		if err := k.collectOne(number); err != nil && !k.spared(number, err) {
			return fmt.Errorf("collect %s: %w", segmentName(number), err)
		}
	}
	return nil
}

// spared tells whether err is damage in a segment. That is said once, and the
// segment stays, for what can still be read of it.
func (k *keeper) spared(number uint32, err error) bool {
	var damage *Damage
	if !errors.As(err, &damage) {
		return false
	}
	k.s.log.segments.setBad(number)
	k.s.o.Log.Error("segment of the log cannot be collected", obs.Err, err)
	return true
}

// isLive tells whether Pebble holds this reference under key.
func (k *keeper) isLive(key, ref []byte) (bool, error) {
	held, closer, err := k.s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return bytes.Equal(held, ref), closer.Close()
}

// estimate tells how many octets of a segment are live, from samples.
func (k *keeper) estimate(number uint32) (uint32, error) {
	w, err := k.walkWhole(number)
	if err != nil {
		return 0, err
	}
	defer w.close()
	end := w.limit.offset()
	var live, all int64
	whole := int64(end) <= samples*walkWindow
	for i := range samples {
		if !whole && !w.seek(at(number, uint32(max(segmentHead, int64(end)/samples*int64(i))))) {
			continue
		}
		for n := 0; n < sampled || whole; n++ {
			h, ok, err := w.header()
			if err != nil {
				return 0, err
			}
			if !ok {
				break
			}
			batch, err := w.batch(h)
			if err != nil {
				return 0, damaged(h.place, err)
			}
			all += h.length()
			batch = bytes.Clone(batch)
			err = storedValues(batch, h.values, func(v storedValue) error {
				movePlace(v.raw, h.place+place(recordHead+len(batch)))
				ok, err := k.isLive(v.key, v.raw)
				if ok {
					live += int64(v.ref.length)
				}
				return err
			})
			if err != nil {
				return 0, err
			}
			w.skip(h)
		}
		if whole {
			break
		}
	}
	if all == 0 {
		return end, nil
	}
	return uint32(float64(end) * float64(live) / float64(all)), nil
}

// A move is a live value that is to leave a segment.
type move struct {
	key    []byte // with its partition
	ref    []byte // as Pebble holds it
	tag    byte
	stored []byte
	whole  int
}

// moves are those of several records, by partition.
type moves struct {
	of     map[kv.Partition][]move
	values int
	octets int
}

// collectOne moves what is live out of a segment, and removes it.
func (k *keeper) collectOne(number uint32) error {
	began := time.Now()
	moved, err := k.empty(number)
	if err != nil {
		return err
	}
	// What made values dead may itself be still on its way to the disk.
	if err := k.s.log.sync(); err != nil {
		return err
	}
	if f := k.s.failed.Load(); f != nil {
		return f.err
	}
	// Views that began before the last value was moved may still read here.
	if !k.s.views.drain() {
		return errEnding
	}
	k.s.keep.Lock()
	defer k.s.keep.Unlock()
	if err := k.s.log.segments.remove(number); err != nil {
		return err
	}
	k.s.o.Log.Debug("segment of the log collected", "segment", segmentName(number), "moved", moved, obs.Took, time.Since(began))
	return nil
}

// empty moves all live values out of a segment. That is ordered, but perhaps
// not durable when it returns. It gives the octets that were live.
func (k *keeper) empty(number uint32) (moved int, err error) {
	w, err := k.walkWhole(number)
	if err != nil {
		return 0, err
	}
	defer w.close()
	var batch, room []byte
	m := moves{of: make(map[kv.Partition][]move)}
	began := time.Now()
	for {
		h, ok, err := w.header()
		if err != nil {
			return moved, err
		}
		if ok {
			read, err := w.batch(h)
			if err != nil {
				return moved, damaged(h.place, err)
			}
			batch = append(batch[:0], read...)
			if room, err = k.gather(w, h, batch, &m, room); err != nil {
				return moved, err
			}
			w.skip(h)
		}
		if !ok || m.octets >= moveOctets || m.values >= moveValues {
			moved += m.octets
			if err := k.carryOut(&m); err != nil {
				return moved, err
			}
			if err := k.pause(began); err != nil {
				return moved, err
			}
			began = time.Now()
		}
		if !ok {
			break
		}
	}
	if w.next != w.limit {
		return moved, damaged(w.next, errors.New("the records end before the segment does"))
	}
	return moved, nil
}

// walkWhole begins at the first record of a segment that is not written to
// any more.
func (k *keeper) walkWhole(number uint32) (*walker, error) {
	end := k.s.log.segments.endOf(number)
	if next, err := k.s.log.readHead(number + 1); err == nil {
		end = next.previousEnd // better known than by the size of the file
	}
	w, err := k.s.log.segments.walk(at(number, segmentHead))
	if err == nil {
		w.limit = at(number, end)
	}
	return w, err
}

// gather adds the live values of a record to m. The batch is changed.
func (k *keeper) gather(w *walker, h recordHeader, batch []byte, m *moves, room []byte) ([]byte, error) {
	values := h.place + place(recordHead+len(batch))
	err := storedValues(batch, h.values, func(v storedValue) error {
		movePlace(v.raw, values)
		live, err := k.isLive(v.key, v.raw)
		if err != nil || !live {
			return err
		}
		p := values + v.ref.place
		b, err := w.octets(int64(p.offset()), int(v.ref.length))
		if err != nil {
			return err
		}
		if len(b) < int(v.ref.length) || checksum(b) != v.ref.sum {
			return &Damage{
				File: segmentName(p.segment()), Offset: int64(p.offset()),
				Partition: partitionOf(v.key), Key: bytes.Clone(v.key[8:]), Err: errChecksum,
			}
		}
		mv := move{key: bytes.Clone(v.key), ref: bytes.Clone(v.raw), tag: v.ref.tag, whole: int(v.ref.whole)}
		if mv.tag == tagLog {
			if packed := k.s.log.packer.pack(b, room); packed != nil {
				mv.tag, b, room = tagPacked, packed, packed
			}
		}
		mv.stored = bytes.Clone(b)
		p2 := partitionOf(v.key)
		m.of[p2] = append(m.of[p2], mv)
		m.values++
		m.octets += len(b)
		return nil
	})
	return room, err
}

func partitionOf(key []byte) kv.Partition {
	return kv.Partition(binary.BigEndian.Uint64(key))
}

// carryOut moves the values of m that are still where they were, and empties
// it.
func (k *keeper) carryOut(m *moves) error {
	for p, list := range m.of {
		_, err := k.s.update(context.Background(), p, func(tx *txn) error {
			for _, mv := range list {
				live, err := k.isLive(mv.key, mv.ref)
				if err != nil {
					return err
				}
				if live {
					tx.putStored(mv.key[8:], mv.tag, mv.stored, mv.whole)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	*m = moves{of: make(map[kv.Partition][]move)}
	return nil
}
