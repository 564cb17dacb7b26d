package pgkv

import (
	"bytes"
	"sort"

	"waxwing/store/kv/internal/engine"
)

// An overlay is what transactions have written and not committed: it lies over
// what the database holds. A copy of it is a snapshot, if only one of the two
// is changed, after grow.
type overlay struct {
	table  engine.Table // a nil value: the key is deleted
	ranges []interval   // deleted in the database; in order, apart, and never changed in place
}

// An interval is lo <= key < hi; a nil hi is the end.
type interval struct{ lo, hi []byte }

// grow makes o ready to be changed; earlier copies keep their state.
func (o *overlay) grow() { o.table.Freeze() }

func (o *overlay) empty() bool { return o.table.Empty() && len(o.ranges) == 0 }

// get gives what o says about key: a value, or nil where it is deleted.
func (o *overlay) get(key []byte) (value []byte, known bool) {
	if value, known = o.table.Get(key); known {
		return value, true
	}
	return nil, o.hides(key)
}

// hides tells whether what the database holds under key is deleted by a range.
func (o *overlay) hides(key []byte) bool {
	i := sort.Search(len(o.ranges), func(i int) bool { return bytes.Compare(o.ranges[i].lo, key) > 0 })
	return i > 0 && before(key, o.ranges[i-1].hi)
}

// before tells whether key lies before hi, the end of a range.
func before(key, hi []byte) bool { return hi == nil || bytes.Compare(key, hi) < 0 }

// put keeps copies of both.
func (o *overlay) put(key, value []byte) {
	both := make([]byte, len(key)+len(value)) // never nil
	n := copy(both, key)
	copy(both[n:], value)
	o.table.Put(both[:n:n], both[n:])
}

func (o *overlay) delete(key []byte) { o.table.Put(append([]byte{}, key...), nil) }

func (o *overlay) deleteRange(lo, hi []byte) {
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return
	}
	o.table.DeleteRange(lo, hi)
	add := interval{lo: append([]byte{}, lo...)}
	if hi != nil {
		add.hi = append([]byte{}, hi...)
	}
	// Those that touch the new one become one with it.
	from := sort.Search(len(o.ranges), func(i int) bool {
		hi := o.ranges[i].hi
		return hi == nil || bytes.Compare(hi, add.lo) >= 0
	})
	to := from
	for to < len(o.ranges) && (add.hi == nil || bytes.Compare(o.ranges[to].lo, add.hi) <= 0) {
		old := o.ranges[to]
		if bytes.Compare(old.lo, add.lo) < 0 {
			add.lo = old.lo
		}
		if old.hi == nil || add.hi != nil && bytes.Compare(old.hi, add.hi) > 0 {
			add.hi = old.hi
		}
		to++
	}
	ranges := make([]interval, 0, len(o.ranges)+1)
	o.ranges = append(append(append(ranges, o.ranges[:from]...), add), o.ranges[to:]...)
}

// changes gives what has to be done in the database, in this order: ranges are
// deleted, then keys, then the rest is put.
func (o *overlay) changes() (ranges []interval, deleted, keys, values [][]byte) {
	for item := range o.table.Items(nil, nil, false) {
		switch {
		case item.Value != nil:
			keys, values = append(keys, item.Key), append(values, item.Value)
		case !o.hides(item.Key):
			deleted = append(deleted, item.Key)
		}
	}
	return o.ranges, deleted, keys, values
}
