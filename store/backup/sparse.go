package backup

import (
	"cmp"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"waxwing/store/kv"
)

// Packs of which less than half is needed by the newest backup are emptied, a
// few in each run. They cannot be rewritten where they lie: they are sealed, and
// so is every list that names what is in them. So what lives in them is read
// from the store once more, as if it were new, and goes into packs of this run;
// the pack goes with the last backup that names it, by Prune. Nothing is
// removed here, so a run that is cut short leaves all as it was, and the next
// one finds in the notes what it had already written.

const (
	// sparseWaste is how many octets must be dead for a pack to be worth it.
	sparseWaste = 4 << 20
	// emptiedPacks and emptiedOctets bound what one run writes anew; and that
	// is a twentieth of the repository at most where it is larger.
	emptiedPacks  = 64
	emptiedOctets = 64 << 20
	emptiedPart   = 20
)

// A coverage notes which parts of a pack live, by granules: what several
// accounts share is counted once.
type coverage [packFrames * granules / 64]uint64

const (
	granules = 256 // of a frame
	granule  = frameSize / granules
)

func (c *coverage) add(r ref) {
	first := min(r.offset/granule, granules-1)
	last := min((r.offset+max(r.length, 1)-1)/granule, granules-1)
	for i := first; i <= last; i++ {
		at := r.frame*granules + i
		c[at/64] |= 1 << (at % 64)
	}
}

// octets is how much lives, rounded up.
func (c *coverage) octets() (n uint64) {
	for _, w := range c {
		n += uint64(bits.OnesCount64(w))
	}
	return n * granule
}

// sparse gives the packs that a run is to empty: those with the least in them.
func (m *Memory) sparse() (map[packID]bool, error) {
	alive, err := m.alive()
	if err != nil {
		return nil, err
	}
	type candidate struct {
		id   packID
		live uint64
		raw  uint64
	}
	var list []candidate
	var all uint64
	for id, p := range m.packs {
		all += p.size
		raw := max(p.raw, p.size) // of packs of before the size unpacked is not known
		if c := alive[id]; c != nil {
			if live := c.octets(); 2*live < raw && raw-live >= sparseWaste {
				list = append(list, candidate{id, live, raw})
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.live*b.raw, b.live*a.raw), slices.Compare(a.id[:], b.id[:]))
	})
	chosen := make(map[packID]bool)
	left := max(emptiedOctets, all/emptiedPart)
	for _, c := range list[:min(len(list), emptiedPacks)] {
		if c.live > left {
			break
		}
		left -= c.live
		chosen[c.id] = true
	}
	return chosen, nil
}

// each goes through the partitions that something is known of.
func (m *Memory) each(fn func(kv.Partition) error) error {
	return filepath.WalkDir(filepath.Join(m.dir, "parts"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		p, err := strconv.ParseUint(d.Name(), 16, 64)
		if err != nil {
			return nil // notes, or not ours
		}
		return fn(kv.Partition(p))
	})
}

// forget removes what is known of partitions that are no more, so that it does
// not count as alive.
func (m *Memory) forget(there map[kv.Partition]bool) error {
	return m.each(func(p kv.Partition) error {
		if there[p] {
			return nil
		}
		return os.Remove(filepath.Join(m.dir, m.path(p)))
	})
}

// alive tells what the partitions need as they were backed up last.
func (m *Memory) alive() (map[packID]*coverage, error) {
	found := make(map[packID]*coverage)
	add := func(r ref) {
		c := found[r.pack]
		if c == nil {
			c = new(coverage)
			found[r.pack] = c
		}
		c.add(r)
	}
	err := m.each(func(p kv.Partition) error { return m.refs(p, add) })
	return found, err
}

// refs tells where all of a partition lies.
func (m *Memory) refs(p kv.Partition, add func(ref)) error {
	t, at, f, err := m.last(p)
	if err != nil || t == nil {
		return err
	}
	defer f.Close()
	add(at)
	for _, l := range t.leaves {
		add(l.at)
	}
	list, err := m.bodies(p, t, f, nil)
	if err != nil {
		return err
	}
	for _, k := range list {
		add(k.at)
	}
	return nil
}
