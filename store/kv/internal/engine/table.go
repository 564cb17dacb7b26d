package engine

import (
	"bytes"
	"iter"
	"slices"
	"sort"

	"waxwing/store/kv"
)

// A Table is a sorted map in two levels: pages of items, each page and the
// list of pages copied before the first change after a freeze. A copy of the
// struct taken at a freeze is a snapshot and never changes.
//
// Invariants: no page is empty; pages and the items in them are in order. The
// zero value is an empty table, to be frozen before its first change.
type Table struct {
	pages []*page
	stamp *stamp // whose pages may be changed in place
	fresh bool   // the list of pages belongs to stamp too
}

type page struct {
	items []kv.Item
	stamp *stamp
}

// A stamp is told from others by its address.
type stamp struct{ _ byte }

// pageSize is how many items a page holds at most.
const pageSize = 128

// Freeze gives a snapshot; later changes of t do not touch it.
func (t *Table) Freeze() Table {
	t.stamp, t.fresh = new(stamp), false
	return *t
}

// seek gives the place of the first item whose key is not below key.
func (t *Table) seek(key []byte) (pi, ii int) {
	pi = sort.Search(len(t.pages), func(i int) bool {
		items := t.pages[i].items
		return bytes.Compare(items[len(items)-1].Key, key) >= 0
	})
	if pi < len(t.pages) {
		items := t.pages[pi].items
		ii = sort.Search(len(items), func(i int) bool { return bytes.Compare(items[i].Key, key) >= 0 })
	}
	return pi, ii
}

// Get gives the value of key, which nobody may change.
func (t *Table) Get(key []byte) ([]byte, bool) {
	pi, ii := t.seek(key)
	if pi == len(t.pages) || !bytes.Equal(t.pages[pi].items[ii].Key, key) {
		return nil, false
	}
	return t.pages[pi].items[ii].Value, true
}

// list makes the list of pages ours to change.
func (t *Table) list() {
	if !t.fresh {
		t.pages = slices.Clone(t.pages)
		t.fresh = true
	}
}

// own makes page pi ours to change.
func (t *Table) own(pi int) *page {
	t.list()
	pg := t.pages[pi]
	if pg.stamp != t.stamp {
		pg = &page{items: slices.Clone(pg.items), stamp: t.stamp}
		t.pages[pi] = pg
	}
	return pg
}

// Put sets key to value, neither of which the caller may change later.
func (t *Table) Put(key, value []byte) {
	item := kv.Item{Key: key, Value: value}
	if len(t.pages) == 0 {
		t.list()
		t.pages = append(t.pages, &page{items: []kv.Item{item}, stamp: t.stamp})
		return
	}
	pi, ii := t.seek(key)
	if pi == len(t.pages) {
		pi--
		ii = len(t.pages[pi].items)
	}
	pg := t.own(pi)
	if ii < len(pg.items) && bytes.Equal(pg.items[ii].Key, key) {
		pg.items[ii] = item
		return
	}
	pg.items = slices.Insert(pg.items, ii, item)
	if len(pg.items) > pageSize {
		half := len(pg.items) / 2
		if ii == len(pg.items)-1 && pi == len(t.pages)-1 {
			half = ii // appended at the end: leave full pages behind
		}
		right := &page{items: slices.Clone(pg.items[half:]), stamp: t.stamp}
		clear(pg.items[half:])
		pg.items = pg.items[:half]
		t.pages = slices.Insert(t.pages, pi+1, right)
	}
}

// Delete removes key, if it is there.
func (t *Table) Delete(key []byte) {
	pi, ii := t.seek(key)
	if pi < len(t.pages) && bytes.Equal(t.pages[pi].items[ii].Key, key) {
		t.cut(pi, ii, ii+1)
	}
}

// cut removes the items from..to of page pi, and the page if none is left.
func (t *Table) cut(pi, from, to int) {
	if from == 0 && to == len(t.pages[pi].items) {
		t.list()
		t.pages = slices.Delete(t.pages, pi, pi+1)
		return
	}
	pg := t.own(pi)
	pg.items = slices.Delete(pg.items, from, to)
}

// DeleteRange removes lo <= key < hi; a nil hi is the end.
func (t *Table) DeleteRange(lo, hi []byte) {
	p0, i0 := t.seek(lo)
	p1, i1 := len(t.pages), 0
	if hi != nil {
		if bytes.Compare(lo, hi) >= 0 {
			return
		}
		p1, i1 = t.seek(hi)
	}
	if p0 == p1 {
		if i0 < i1 {
			t.cut(p0, i0, i1)
		}
		return
	}
	if i1 > 0 {
		t.cut(p1, 0, i1)
	}
	t.list()
	if i0 > 0 {
		t.cut(p0, i0, len(t.pages[p0].items))
		p0++
	}
	t.pages = slices.Delete(t.pages, p0, p1)
}

// Empty tells whether the table has no items.
func (t *Table) Empty() bool { return len(t.pages) == 0 }

// Items goes through lo <= key < hi in order, or backwards; a nil hi is the
// end. The table may not change meanwhile.
func (t Table) Items(lo, hi []byte, reverse bool) iter.Seq[kv.Item] {
	return func(yield func(kv.Item) bool) {
		if hi != nil && bytes.Compare(lo, hi) >= 0 {
			return
		}
		end := place{page: len(t.pages)}
		if hi != nil {
			end.page, end.item = t.seek(hi)
		}
		var at place
		at.page, at.item = t.seek(lo)
		if reverse {
			for at != end {
				end.previous(t)
				if !yield(t.pages[end.page].items[end.item]) {
					return
				}
			}
			return
		}
		for at != end {
			if !yield(t.pages[at.page].items[at.item]) {
				return
			}
			at.next(t)
		}
	}
}

// A place is where an item stands in a table, or the end of the table.
type place struct{ page, item int }

func (p *place) next(t Table) {
	if p.item++; p.item == len(t.pages[p.page].items) {
		p.page, p.item = p.page+1, 0
	}
}

func (p *place) previous(t Table) {
	if p.item == 0 {
		p.page--
		p.item = len(t.pages[p.page].items)
	}
	p.item--
}
