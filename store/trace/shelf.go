package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A shelf is where steps lie that share their room. Whatever strangers are
// refused has one of its own: a flood of it pushes out what they were refused
// before, and never what became of mail.
type shelf int

const (
	ofMail shelf = iota
	ofRefusals
	shelves
)

// shelfOf says where a step belongs. Who has logged in is no stranger, and who
// is refused a recipient of a message that was taken has brought mail.
func shelfOf(e *Event) shelf {
	switch {
	case e.Account != 0:
		return ofMail
	case e.Step == Connected, e.Step == Refused, e.Step == Recipient && e.Message == "":
		return ofRefusals
	}
	return ofMail
}

// room gives how much of all the room a shelf has.
func (s shelf) room(octets int64) int64 {
	if s == ofRefusals {
		return octets / 4
	}
	return octets - octets/4
}

// prefixes are those of a shelf's keys.
func (s shelf) prefixes() (steps, index, total byte) {
	if s == ofRefusals {
		return keys.RefusedSteps, keys.RefusedIndex, keys.RefusedTotal
	}
	return keys.TraceSteps, keys.TraceIndex, keys.TraceTotal
}

func (s shelf) stepsKey(place []byte) []byte {
	steps, _, _ := s.prefixes()
	return append([]byte{steps}, place...)
}

func (s shelf) indexKey(place []byte) []byte {
	_, index, _ := s.prefixes()
	return append([]byte{index}, place...)
}

// indexEnd is behind all keys of the index.
func (s shelf) indexEnd() []byte {
	_, index, _ := s.prefixes()
	return []byte{index + 1}
}

func (s shelf) totalKey() []byte {
	_, _, total := s.prefixes()
	return []byte{total}
}

func (s shelf) readTotal(r kv.Reader) (int64, error) {
	b, err := r.Get(s.totalKey())
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

func (s shelf) putTotal(tx kv.Txn, total int64) {
	tx.Put(s.totalKey(), binary.BigEndian.AppendUint64([]byte{version}, uint64(total)))
}

// An indexed is the row of a block's words, and where the block lies.
type indexed struct {
	on    shelf
	place []byte
	words []byte
}

// newestFirst gives the rows of the index, those of all shelves, from a place
// on, the newest first.
func newestFirst(r kv.Reader, from []byte) iter.Seq2[indexed, error] {
	return func(yield func(indexed, error) bool) {
		next, stop := iter.Pull2(r.Scan(ofRefusals.indexKey(from), ofRefusals.indexEnd(), kv.ScanOptions{Reverse: true}))
		defer stop()
		refused, err, more := next()
		// tell yields the refusals that are newer than a place.
		tell := func(than []byte) bool {
			for more && (err != nil || bytes.Compare(refused.Key[1:], than) > 0) {
				if err != nil {
					yield(indexed{}, err)
					return false
				}
				if !yield(indexed{ofRefusals, refused.Key[1:], refused.Value}, nil) {
					return false
				}
				refused, err, more = next()
			}
			return true
		}
		for item, err := range r.Scan(ofMail.indexKey(from), ofMail.indexEnd(), kv.ScanOptions{Reverse: true}) {
			if err != nil {
				yield(indexed{}, err)
				return
			}
			if !tell(item.Key[1:]) || !yield(indexed{ofMail, item.Key[1:], item.Value}, nil) {
				return
			}
		}
		tell(nil)
	}
}

// A desk is where steps wait for their shelf.
type desk struct {
	most    int      // octets
	open    *block   // being filled
	waiting []*block // full
	octets  int      // of all of them
}

func newDesk(most int) *desk { return &desk{most: most, open: new(block)} }

// add takes in a step, of which step is the written form, if there is room.
func (d *desk) add(e *Event, step []byte) bool {
	if d.octets+len(step) > d.most {
		return false
	}
	if !d.open.takes(step) {
		d.waiting = append(d.waiting, d.open)
		d.open = &block{steps: make([]byte, 0, blockOctets), words: make([]uint32, 0, cap(d.open.words))}
	}
	d.open.add(e, step)
	d.octets += len(step)
	return true
}

// take gives the blocks, the oldest first.
func (d *desk) take() []*block {
	blocks := d.waiting
	if len(d.open.steps) > 0 {
		blocks = append(blocks, d.open)
		d.open = new(block)
	}
	d.waiting, d.octets = nil, 0
	return blocks
}
