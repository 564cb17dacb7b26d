package mailbox

import (
	"context"
	"fmt"
	"math"
	"sync"

	"waxwing/mail"
	"waxwing/store/kv"
)

// Texts are small messages that have been read together. Whoever has them
// releases them.
type Texts struct {
	list     []text
	prefixes []byte
	keys     []byte
	want     [][]byte
	records  kv.Room
	bodies   kv.Room
}

// A text is one of them.
type text struct {
	id         mail.EmailID
	from, to   int // its prefix, among prefixes
	body       []byte
	size       mail.ByteCount // of the body
	first, end int            // its values, among those of bodies
	inline     bool           // it is small, and there
}

// enoughText is how many octets of bodies are read at a time, and keptText of
// how many there is room between two readings.
const (
	enoughText = 1 << 20
	keptText   = 2 << 20
)

var allTexts = sync.Pool{New: func() any { return new(Texts) }}

// ReadTexts reads messages that are small enough to lie in the engine, in two
// round trips for all, and reads what lies together at once. Where that is very
// much it gives the first of them only, one at least.
func (a *Account) ReadTexts(ctx context.Context, ids []mail.EmailID) (*Texts, error) {
	t := allTexts.Get().(*Texts)
	if len(ids) == 0 {
		return t, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error { return t.read(r, ids, kv.GetFixed, false) })
	if IsDamaged(err) { // who opens that one is told; the others are there
		err = a.store.db.View(ctx, a.part, func(r kv.Reader) error {
			kv.Spare(r, leaveOut)
			return t.read(r, ids, kv.GetInto, true)
		})
	}
	if err != nil {
		t.Release()
		return nil, err
	}
	return t, nil
}

// LocateTexts finds out where the bodies of messages lie, so that ReadTexts, which
// reads them, need not.
func (a *Account) LocateTexts(ctx context.Context, ids []mail.EmailID) error {
	t := allTexts.Get().(*Texts)
	defer t.Release()
	return a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		if err := t.find(r, ids, math.MaxInt, true); err != nil {
			return err
		}
		return kv.Locate(r, t.want)
	})
}

// read reads messages; sparing leaves out those that are damaged.
func (t *Texts) read(r kv.Reader, ids []mail.EmailID, get func(kv.Reader, [][]byte, *kv.Room) error, sparing bool) error {
	if err := t.find(r, ids, enoughText, sparing); err != nil {
		return err
	}
	if err := get(r, t.want, &t.bodies); err != nil {
		return err
	}
	for i := range t.list {
		err := t.assemble(&t.list[i])
		if err != nil && !sparing {
			return err
		}
		if err != nil {
			t.list[i].inline, t.list[i].body = false, nil
		}
	}
	return nil
}

// find reads the records, and notes what the bodies are, of so many octets or a
// little more.
func (t *Texts) find(r kv.Reader, ids []mail.EmailID, enough int, sparing bool) error {
	t.reset()
	size := 0
	return eachRecord(r, ids, &t.records, func(i int, b []byte) (bool, error) {
		one := text{id: ids[i]}
		if b != nil {
			record, err := decodeRecord(ids[i], b)
			if err != nil && !sparing {
				return false, err
			}
			if err == nil && record.where == bodyInline {
				t.add(&one, &record)
				size += int(record.size())
			}
		}
		t.list = append(t.list, one)
		return size < enough, nil
	})
}

// add wants a body.
func (t *Texts) add(one *text, record *record) {
	one.from = len(t.prefixes)
	t.prefixes = append(t.prefixes, record.prefix...)
	one.to = len(t.prefixes)
	one.inline, one.size, one.first = true, record.body, len(t.want)
	for k := range chunks(record.body) {
		t.addKey(record, k)
	}
	one.end = len(t.want)
}

// addKey wants a value of a body.
func (t *Texts) addKey(record *record, chunk int) {
	n := len(t.keys)
	t.keys = appendBodyKey(t.keys, &record.sum, chunk) // what want has already keeps its memory
	t.want = append(t.want, t.keys[n:len(t.keys):len(t.keys)])
}

// assemble makes a body of its values.
func (t *Texts) assemble(one *text) error {
	values := t.bodies.Values[one.first:one.end]
	for _, b := range values {
		if len(b) == 0 || b[0] != bodyFormat {
			return fmt.Errorf("body of %v: %w", one.id, errCorrupt)
		}
	}
	if len(values) == 1 {
		one.body = values[0][1:]
	} else {
		for _, b := range values {
			one.body = append(one.body, b[1:]...)
		}
	}
	if mail.ByteCount(len(one.body)) != one.size {
		return fmt.Errorf("body of %v: %w", one.id, errCorrupt)
	}
	return nil
}

func (t *Texts) reset() {
	clear(t.list)
	t.list, t.prefixes, t.keys, t.want = t.list[:0], t.prefixes[:0], t.keys[:0], t.want[:0]
}

// Len gives how many messages it is about.
func (t *Texts) Len() int { return len(t.list) }

// At gives the two halves of a message, which must not be changed, until
// Release; false for one that OpenMessage opens, or that there is not.
func (t *Texts) At(i int) (prefix, body []byte, ok bool) {
	one := &t.list[i]
	return t.prefixes[one.from:one.to:one.to], one.body, one.inline
}

// Release gives the memory back.
func (t *Texts) Release() {
	if t.small() {
		t.reset()
		allTexts.Put(t)
	}
}

// small tells whether the memory is worth keeping.
func (t *Texts) small() bool {
	return cap(t.bodies.Octets) <= keptText && cap(t.records.Octets) <= keptText
}

// ReadInline is ReadTexts for callers that keep the messages: nil for those
// that it does not give.
func (a *Account) ReadInline(ctx context.Context, ids []mail.EmailID) ([][]byte, error) {
	texts, err := a.ReadTexts(ctx, ids)
	if err != nil {
		return nil, err
	}
	defer texts.Release()
	list := make([][]byte, texts.Len())
	for i := range list {
		if prefix, body, ok := texts.At(i); ok {
			list[i] = append(append(make([]byte, 0, len(prefix)+len(body)), prefix...), body...)
		}
	}
	return list, nil
}
