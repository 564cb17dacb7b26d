package mailbox

import (
	"cmp"
	"iter"
	"slices"
	"sort"

	"waxwing/mail"
)

// blockSize is how many entries lie together in a mailbox of so many. A changed
// flag copies one block and the list of them, of which neither is to be much
// longer than the other: 5 KiB and 5 KiB at 20,000 entries, 20 and 64 at a million.
func blockSize(entries int) int {
	switch {
	case entries < 1<<12:
		return 64
	case entries < 1<<16:
		return 128
	case entries < 1<<18:
		return 256
	}
	return 512
}

// A Snapshot is a mailbox as it stood after one change. It never changes; the
// next one shares all blocks that are the same.
//
// Blocks and the list of them may be appended to beyond their length by the
// one line of snapshots that a View makes: whoever branches off clips them.
type Snapshot struct {
	info   Info
	blocks []block // full ones; none is empty
	tail   []Entry // what follows them
	tailAt int     // index of its first
	gone   bool
}

type block struct {
	at      int // index of its first entry
	entries []Entry
}

// Info gives the mailbox as it stood.
func (s *Snapshot) Info() Info { return s.info }

// Gone tells whether the mailbox has been deleted.
func (s *Snapshot) Gone() bool { return s.gone }

// Len gives how many entries there are.
func (s *Snapshot) Len() int { return s.tailAt + len(s.tail) }

// At gives the entry at an index: that of sequence number i+1.
func (s *Snapshot) At(i int) Entry {
	if i >= s.tailAt {
		return s.tail[i-s.tailAt]
	}
	b := &s.blocks[sort.Search(len(s.blocks), func(j int) bool { return s.blocks[j].at > i })-1]
	return b.entries[i-b.at]
}

// Find gives the index of a UID, or else the one where it would be.
func (s *Snapshot) Find(uid mail.UID) (int, bool) {
	at, entries := s.tailAt, s.tail
	if len(s.tail) == 0 || uid < s.tail[0].UID {
		j := sort.Search(len(s.blocks), func(j int) bool { return s.blocks[j].entries[0].UID > uid }) - 1
		if j < 0 {
			return 0, false
		}
		at, entries = s.blocks[j].at, s.blocks[j].entries
	}
	i, found := findUID(entries, uid)
	return at + i, found
}

// from gives the entries of a block from a UID on, or from where it would be.
func (s *Snapshot) from(uid mail.UID) []Entry {
	entries := s.tail
	if len(s.tail) == 0 || uid < s.tail[0].UID {
		j := sort.Search(len(s.blocks), func(j int) bool { return s.blocks[j].entries[0].UID > uid }) - 1
		if j < 0 {
			return nil
		}
		entries = s.blocks[j].entries
	}
	i, _ := findUID(entries, uid)
	return entries[i:]
}

func findUID(entries []Entry, uid mail.UID) (int, bool) {
	return slices.BinarySearchFunc(entries, uid, func(e Entry, uid mail.UID) int { return cmp.Compare(e.UID, uid) })
}

// Entries goes through the entries from an index on.
func (s *Snapshot) Entries(from int) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		from = max(from, 0)
		j := sort.Search(len(s.blocks), func(j int) bool { return s.blocks[j].at > from }) - 1
		for ; j < len(s.blocks); j++ {
			if j < 0 {
				continue
			}
			b := &s.blocks[j]
			for k := max(from-b.at, 0); k < len(b.entries); k++ {
				if !yield(b.at+k, b.entries[k]) {
					return
				}
			}
		}
		for k := max(from-s.tailAt, 0); k < len(s.tail); k++ {
			if !yield(s.tailAt+k, s.tail[k]) {
				return
			}
		}
	}
}

// Stretch gives entries from an index on that lie together: one at least, if there
// are any. They must not be changed.
func (s *Snapshot) Stretch(i int) []Entry {
	if i >= s.tailAt {
		return s.tail[min(i-s.tailAt, len(s.tail)):]
	}
	b := &s.blocks[sort.Search(len(s.blocks), func(j int) bool { return s.blocks[j].at > i })-1]
	return b.entries[i-b.at:]
}

// FirstUnseen gives the index of the first entry without Seen.
func (s *Snapshot) FirstUnseen() (int, bool) {
	if s.info.Unseen == 0 {
		return 0, false
	}
	for i, e := range s.Entries(0) {
		if !e.Flags.Has(mail.Seen) {
			return i, true
		}
	}
	return 0, false
}

// lastUID gives the highest UID, zero if there is none.
func (s *Snapshot) lastUID() mail.UID {
	if n := len(s.tail); n > 0 {
		return s.tail[n-1].UID
	}
	if n := len(s.blocks); n > 0 {
		b := s.blocks[n-1].entries
		return b[len(b)-1].UID
	}
	return 0
}

// add appends entries in place: for a snapshot that nobody else has yet.
func (s *Snapshot) add(entries ...Entry) {
	most := blockSize(s.info.Messages)
	for len(entries) > 0 {
		if len(s.tail) >= most {
			s.blocks = append(s.blocks, block{s.tailAt, s.tail})
			s.tailAt += len(s.tail)
			s.tail = nil
		}
		n := min(len(entries), most-len(s.tail))
		if need := len(s.tail) + n; need > cap(s.tail) {
			size := min(max(2*cap(s.tail), need, 4), most)
			s.tail = append(make([]Entry, 0, size), s.tail...)
		}
		s.tail = append(s.tail, entries[:n]...)
		entries = entries[n:]
	}
}

// room makes room for n entries to come, as far as they fit in a block. The
// tail is full or empty.
func (s *Snapshot) room(n int) {
	most := blockSize(s.info.Messages)
	if len(s.tail) >= most {
		s.blocks = append(s.blocks, block{s.tailAt, s.tail})
		s.tailAt += len(s.tail)
		s.tail = nil
	}
	if len(s.tail) == 0 && n > 0 {
		s.tail = make([]Entry, 0, min(n, most))
	}
}

// replaced gives a new block in which upserts stand in the place of entries
// with their UIDs, as when flags have changed; nil unless all have such a place.
func replaced(entries, upserts []Entry) []Entry {
	if len(upserts) > len(entries) {
		return nil
	}
	out := slices.Clone(entries)
	at := 0
	for i := range upserts {
		if uid := upserts[i].UID; at >= len(out) || out[at].UID != uid {
			k, found := findUID(out[at:], uid)
			if !found {
				return nil
			}
			at += k
		}
		out[at] = upserts[i]
		at++
	}
	return out
}

// apply gives the snapshot that follows s by an effect.
func (s *Snapshot) apply(e *effect) *Snapshot {
	next := *s
	next.info = e.info
	next.gone = s.gone || e.gone
	switch {
	case e.whole:
		next = Snapshot{info: e.info, gone: next.gone}
		next.add(e.upserts...)
	case len(e.upserts) == 0 && len(e.vanished) == 0:
	case len(e.vanished) == 0 && e.upserts[0].UID > s.lastUID():
		next.add(e.upserts...)
	case len(e.vanished) == 0 && next.restate(e.upserts):
	default:
		next.edit(e.upserts, e.vanished)
	}
	return &next
}

// restate puts upserts in the place of entries with their UIDs, if all have such
// a place: as when flags have changed. It copies the blocks that it changes.
func (s *Snapshot) restate(upserts []Entry) bool {
	blocks, tail := s.blocks, s.tail
	for len(upserts) > 0 {
		uid := upserts[0].UID
		if len(tail) > 0 && uid >= tail[0].UID {
			if tail = replaced(tail, upserts); tail == nil {
				return false
			}
			break
		}
		j := sort.Search(len(blocks), func(j int) bool { return blocks[j].entries[0].UID > uid }) - 1
		if j < 0 {
			return false
		}
		entries := blocks[j].entries
		last := entries[len(entries)-1].UID
		n := sort.Search(len(upserts), func(i int) bool { return upserts[i].UID > last })
		out := replaced(entries, upserts[:n])
		if n == 0 || out == nil {
			return false
		}
		if &blocks[0] == &s.blocks[0] {
			blocks = slices.Clone(blocks)
		}
		blocks[j].entries, upserts = out, upserts[n:]
	}
	s.blocks, s.tail = blocks, tail
	return true
}

// edit puts upserts in the place of entries with their UIDs, or between the
// others, and takes vanished away. Both are sorted. It copies what it changes.
func (s *Snapshot) edit(upserts []Entry, vanished []mail.UID) {
	old := slices.Clone(s.blocks)
	if len(s.tail) > 0 {
		old = append(old, block{s.tailAt, s.tail})
	}
	*s = Snapshot{info: s.info, gone: s.gone, blocks: make([]block, 0, len(old)+1)}
	if len(old) == 0 {
		s.add(upserts...)
		return
	}
	for i, b := range old {
		// What comes before the next block's first entry belongs to this one.
		nu, nv := len(upserts), len(vanished)
		if i+1 < len(old) {
			next := old[i+1].entries[0].UID
			nu = sort.Search(nu, func(j int) bool { return upserts[j].UID >= next })
			nv = sort.Search(nv, func(j int) bool { return vanished[j] >= next })
		}
		if nu == 0 && nv == 0 {
			s.push(b.entries, i == len(old)-1)
			continue
		}
		s.pushNew(merge(b.entries, upserts[:nu], vanished[:nv]))
		upserts, vanished = upserts[nu:], vanished[nv:]
	}
	// The last block is where the next ones are appended.
	if n := len(s.blocks); n > 0 {
		if b := s.blocks[n-1]; len(b.entries) < blockSize(s.info.Messages) {
			s.blocks, s.tail, s.tailAt = s.blocks[:n-1], b.entries, b.at
			return
		}
	}
	s.tailAt = s.blocksEnd()
}

func (s *Snapshot) blocksEnd() int {
	if n := len(s.blocks); n > 0 {
		return s.blocks[n-1].at + len(s.blocks[n-1].entries)
	}
	return 0
}

// push adds a block that stays as it is. Only the last may grow, in place.
func (s *Snapshot) push(entries []Entry, last bool) {
	if !last {
		entries = slices.Clip(entries)
	}
	s.blocks = append(s.blocks, block{s.blocksEnd(), entries})
}

// pushNew adds new entries in blocks of the right size, joined with the block
// before them when that has become small.
func (s *Snapshot) pushNew(entries []Entry) {
	most := blockSize(s.info.Messages)
	if n := len(s.blocks); n > 0 && len(s.blocks[n-1].entries)+len(entries) <= most*3/4 {
		entries = append(slices.Clip(s.blocks[n-1].entries), entries...)
		s.blocks = s.blocks[:n-1]
	}
	for len(entries) > most {
		s.push(entries[:most], false)
		entries = entries[most:]
	}
	if len(entries) > 0 {
		s.push(entries, true)
	}
}

// merge gives a new block: the entries with upserts, without vanished.
func merge(entries, upserts []Entry, vanished []mail.UID) []Entry {
	if len(vanished) == 0 {
		if out := replaced(entries, upserts); out != nil {
			return out
		}
	}
	out := make([]Entry, 0, len(entries)+len(upserts))
	for len(entries) > 0 || len(upserts) > 0 {
		var e Entry
		switch {
		case len(upserts) == 0 || len(entries) > 0 && entries[0].UID < upserts[0].UID:
			e, entries = entries[0], entries[1:]
		default:
			if len(entries) > 0 && entries[0].UID == upserts[0].UID {
				entries = entries[1:]
			}
			e, upserts = upserts[0], upserts[1:]
		}
		for len(vanished) > 0 && vanished[0] < e.UID {
			vanished = vanished[1:]
		}
		if len(vanished) > 0 && vanished[0] == e.UID {
			continue
		}
		out = append(out, e)
	}
	return out
}
