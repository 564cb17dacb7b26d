package mailbox

import (
	"slices"

	"waxwing/mail"
)

// A Delta is how one snapshot differs from another.
type Delta struct {
	Vanished []mail.UID
	Changed  []Entry // flags, keywords or only their modseq differ
	Added    []Entry
}

// Diff gives what leads from old to new. What they share is skipped, so that
// it costs as much as what has changed.
func Diff(old, new *Snapshot) Delta {
	var d Delta
	o, n := cursor{s: old}, cursor{s: new}
	o.load()
	n.load()
	for len(o.rest) > 0 && len(n.rest) > 0 {
		if &o.rest[0] == &n.rest[0] {
			same := min(len(o.rest), len(n.rest))
			o.skip(same)
			n.skip(same)
			continue
		}
		a, b := &o.rest[0], &n.rest[0]
		switch {
		case a.UID < b.UID:
			d.Vanished = append(d.Vanished, a.UID)
			o.skip(1)
		case a.UID > b.UID:
			d.Added = append(d.Added, *b)
			n.skip(1)
		default:
			both := d.compare(o.rest, n.rest)
			o.skip(both)
			n.skip(both)
		}
	}
	for ; len(o.rest) > 0; o.skip(len(o.rest)) {
		for i := range o.rest {
			d.Vanished = append(d.Vanished, o.rest[i].UID)
		}
	}
	for ; len(n.rest) > 0; n.skip(len(n.rest)) {
		d.Added = append(d.Added, n.rest...)
	}
	return d
}

// compare compares what begins with the same UIDs, and tells how much that is.
func (d *Delta) compare(old, new []Entry) int {
	both := min(len(old), len(new))
	for i := range both {
		a, b := &old[i], &new[i]
		if a.UID != b.UID {
			return i
		}
		if a.ModSeq != b.ModSeq || a.Flags != b.Flags || a.Keywords != b.Keywords {
			d.Changed = append(d.Changed, *b)
		}
	}
	return both
}

// A cursor goes through a snapshot block by block.
type cursor struct {
	s    *Snapshot
	next int // block to come; len(blocks) is the tail
	rest []Entry
}

func (c *cursor) skip(n int) {
	c.rest = c.rest[n:]
	c.load()
}

// load goes to the next block when this one is used up.
func (c *cursor) load() {
	for len(c.rest) == 0 && c.next <= len(c.s.blocks) {
		if c.next < len(c.s.blocks) {
			c.rest = c.s.blocks[c.next].entries
		} else {
			c.rest = c.s.tail
		}
		c.next++
	}
}

// Keeping gives new together with those entries of old that are in vanished:
// what a session shows that may not yet say that they are gone (RFC 9051
// §7.5.1). Info counts them too.
func (new *Snapshot) Keeping(old *Snapshot, vanished []mail.UID) *Snapshot {
	var kept []Entry
	for _, uid := range slices.Sorted(slices.Values(vanished)) {
		if len(kept) > 0 && kept[len(kept)-1].UID == uid {
			continue
		}
		if _, there := new.Find(uid); there {
			continue
		}
		if i, there := old.Find(uid); there {
			kept = append(kept, old.At(i))
		}
	}
	if len(kept) == 0 {
		return new
	}
	next := *new
	next.edit(kept, nil)
	next.clip()
	counts := box{Info: next.info}
	for i := range kept {
		counts.count(&kept[i], 1)
	}
	next.info = counts.Info
	return &next
}

// clip keeps whoever extends s from writing where another line of snapshots
// does.
func (s *Snapshot) clip() {
	s.blocks, s.tail = slices.Clip(s.blocks), slices.Clip(s.tail)
}
