package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"

	"waxwing/store/blob"
)

// A Checked tells what Check has looked at, and what is wrong.
type Checked struct {
	Snapshots  int      `json:"snapshots"`
	Packs      int      `json:"packs"`
	Octets     uint64   `json:"octets"`
	Objects    uint64   `json:"objects"` // read and found right; none without the key
	Unused     int      `json:"unused"`  // packs that no backup needs, which is no fault
	Opened     bool     `json:"opened"`  // the contents were looked at, too
	Faults     []string `json:"faults"`
	MoreFaults int      `json:"more_faults,omitempty"`
}

const maxFaults = 100

func (c *Checked) fault(format string, args ...any) {
	if len(c.Faults) < maxFaults {
		c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
		return
	}
	c.MoreFaults++
}

// Check reads a whole repository and looks whether everything is there and is
// what was written. Without the key that is what the checksums say; with it,
// every object that a backup names is unpacked, too. progress is called with
// the octets read and those there are.
func Check(ctx context.Context, repo *Repository, k Keys, progress func(done, total uint64)) (Checked, error) {
	c := Checked{Faults: []string{}}
	there, err := repo.packSizes(ctx)
	if err != nil {
		return c, err
	}
	snapshots, err := repo.outer(ctx)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			return c, err
		}
		c.fault("%v", err)
	}
	c.Snapshots = len(snapshots)
	packs := make(map[packID]packInfo)
	users := make(map[packID]string)
	var total uint64
	for _, s := range snapshots {
		for _, p := range s.packs {
			if _, ok := packs[p.id]; !ok {
				total += p.size
			}
			packs[p.id], users[p.id] = p, s.ID
		}
	}
	bad := make(map[packID]bool)
	for _, id := range slices.SortedFunc(maps.Keys(packs), func(a, b packID) int { return slices.Compare(a[:], b[:]) }) {
		p := packs[id]
		stat, ok := there[id]
		switch {
		case !ok:
			c.fault("pack %v is missing; the backup %s needs it", id, users[id])
		case uint64(stat.Size) != p.size:
			c.fault("pack %v has %d octets, not %d; the backup %s needs it", id, stat.Size, p.size, users[id])
		default:
			sum, err := sumOfFile(ctx, repo.place, id.name(), p.sum.hash())
			if ctx.Err() != nil {
				return c, ctx.Err()
			}
			if err != nil {
				c.fault("pack %v cannot be read: %v", id, err)
			} else if sum != p.sum {
				c.fault("pack %v is damaged: it does not have its checksum; the backup %s needs it", id, users[id])
			} else {
				c.Packs++
				c.Octets += p.size
				if progress != nil {
					progress(c.Octets, total)
				}
				continue
			}
		}
		bad[id] = true
	}
	for id := range there {
		if _, ok := packs[id]; !ok {
			c.Unused++
		}
	}
	if repo.Sealed() && len(k.Identities) == 0 {
		return c, nil
	}
	c.Opened = true
	return c, c.contents(ctx, repo, k, snapshots)
}

// sumOfFile gives the checksum of a file.
func sumOfFile(ctx context.Context, p Place, name string, h hash.Hash) (packSum, error) {
	f, err := p.Open(ctx, name)
	if err != nil {
		return packSum{}, err
	}
	defer f.Close()
	_, err = io.Copy(h, io.NewSectionReader(f, 0, f.Size()))
	return sumOf(h), err
}

// contents unpacks what snapshots name: each tree, leaf and large body once.
func (c *Checked) contents(ctx context.Context, repo *Repository, k Keys, snapshots []*snapshotFile) error {
	objects, err := newObjects(ctx, repo.place, k, repo.Sealed())
	if err != nil {
		return err
	}
	defer objects.close()
	trees := make(map[ref]bool)
	for _, outer := range snapshots {
		s, err := repo.readSnapshot(ctx, k, outer.ID)
		if errors.Is(err, ErrSealed) {
			return err
		}
		if err != nil {
			c.fault("backup %s: %v", outer.ID, err)
			continue
		}
		for _, p := range s.parts {
			if trees[p.tree] {
				continue
			}
			trees[p.tree] = true
			if err := c.tree(objects, p); err != nil {
				c.fault("backup %s, partition %x: %v", s.ID, uint64(p.partition), err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		for _, f := range s.files {
			for _, at := range f.pieces {
				if _, err := objects.read(at); err != nil {
					c.fault("backup %s, file %s: %v", s.ID, f.name, err)
				}
				c.Objects++
			}
		}
	}
	return nil
}

func (c *Checked) tree(o *objects, p part) error {
	t, err := readTree(o, p)
	if err != nil {
		return err
	}
	rows := uint64(0)
	err = t.eachRow(o, func(key, value []byte, at ref) error {
		rows++
		if value == nil {
			if _, err := o.read(at); err != nil {
				return err
			}
			c.Objects++
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Objects += uint64(len(t.leaves))
	if rows != t.rows || rows != p.rows {
		return damagedf("%d rows instead of %d", rows, p.rows)
	}
	for _, l := range t.bodies {
		h := sha256.New()
		for _, at := range l.pieces {
			b, err := o.read(at)
			if err != nil {
				return err
			}
			h.Write(b)
			c.Objects++
		}
		if blob.Sum(h.Sum(nil)) != l.sum {
			return damagedf("body %v has another sum", l.sum)
		}
	}
	return nil
}
