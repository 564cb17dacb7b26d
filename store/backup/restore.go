package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

// ErrNotEmpty says that there is a store already where one was to be restored.
var ErrNotEmpty = errors.New("the store is not empty")

// ErrHalfRestored says that a restore into the store has not come to its end.
var ErrHalfRestored = errors.New("a restore into this store has not come to its end: run the same \"waxwing restore\" again")

// ErrNotStopped says that a server ran on while a backup was made, so that the
// store may have changed after it.
var ErrNotStopped = errors.New("a server was running when the backup was made")

// A Target is where a whole backup is restored to. Nobody else has it open.
type Target struct {
	DB    kv.Store
	Blobs blob.Store
	// File takes what lay beside the store. May be nil.
	File func(*RestoredFile) error
	// Moved says that nothing has happened in the store since the backup was
	// made. Else accounts get new numbers: see mailbox.Renew.
	Moved bool
}

// RestoreProgress tells how far a Restore is.
type RestoreProgress struct {
	Partitions, Done atomic.Int64
	Octets, Written  atomic.Int64
}

// In the partition Restoring:
//
//	s             JSON: mark
//	p partition   nothing: it is restored
var (
	markKey  = []byte{'s'}
	donePart = byte('p')
)

// A mark says what is being restored.
type mark struct {
	Version    int    `json:"version"`
	Repository string `json:"repository"`
	Snapshot   string `json:"snapshot"`
	Moved      bool   `json:"moved,omitempty"`
}

// Whole returns ErrHalfRestored if a restore has begun and not ended.
func Whole(ctx context.Context, db kv.Store) error {
	m, err := readMark(ctx, db)
	if err == nil && m != nil {
		err = fmt.Errorf("%w (with --at %s, if there are newer backups by now)", ErrHalfRestored, m.Snapshot)
	}
	return err
}

func readMark(ctx context.Context, db kv.Store) (m *mark, err error) {
	err = db.View(ctx, keys.Restoring, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{markKey})
		if err != nil || got[0] == nil {
			return err
		}
		m = new(mark)
		return json.Unmarshal(got[0], m)
	})
	return m, err
}

// Restore puts a whole backup into an empty store. One that was cut short goes
// on where it was; until it has come to its end Whole fails.
func Restore(ctx context.Context, repo *Repository, k Keys, id string, t Target, prog *RestoreProgress) (Snapshot, error) {
	s, err := repo.readSnapshot(ctx, k, id)
	if err != nil {
		return Snapshot{}, err
	}
	if t.Moved && !s.Stopped {
		return Snapshot{}, fmt.Errorf("%w: the backup %s", ErrNotStopped, s.ID)
	}
	objects, err := newObjects(ctx, repo.place, k, repo.Sealed())
	if err != nil {
		return Snapshot{}, err
	}
	defer objects.close()
	if err := begin(ctx, t.DB, mark{1, repo.ID(), s.ID, t.Moved}); err != nil {
		return Snapshot{}, err
	}
	for _, f := range s.files {
		if err := checkName(f.name); err != nil {
			return Snapshot{}, err
		}
		if t.File == nil {
			continue
		}
		if err := t.File(&RestoredFile{f.name, fs.FileMode(f.mode).Perm(), f.modified, f.size, f.pieces, objects}); err != nil {
			return Snapshot{}, err
		}
	}
	r := restorer{repo: repo, objects: objects, t: t, prog: prog}
	if r.prog == nil {
		r.prog = new(RestoreProgress)
	}
	if err := r.parts(ctx, s.parts); err != nil {
		return Snapshot{}, err
	}
	err = kv.Apply(ctx, t.DB, keys.Restoring, func(tx kv.Txn) error { tx.DeleteRange(nil, nil); return nil })
	return s.Snapshot, err
}

// begin marks the store, which must be empty or marked for the same.
func begin(ctx context.Context, db kv.Store, want mark) error {
	have, err := readMark(ctx, db)
	if err != nil {
		return err
	}
	if have != nil {
		if have.Repository != want.Repository || have.Snapshot != want.Snapshot {
			return fmt.Errorf("the restore of %s has not come to its end: finish that with --at %s, or empty the store", have.Snapshot, have.Snapshot)
		}
		if have.Moved != want.Moved {
			return errors.New("the restore that has not come to its end was begun with --moved, or this one is: finish it as it was begun, or empty the store")
		}
		return nil
	}
	for p, err := range db.Partitions(ctx, 0) {
		if err != nil {
			return err
		}
		if isLocal(p) {
			continue
		}
		return ErrNotEmpty
	}
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return kv.Apply(ctx, db, keys.Restoring, func(tx kv.Txn) error { tx.Put(markKey, text); return nil })
}

type restorer struct {
	repo    *Repository
	objects *objects
	t       Target
	prog    *RestoreProgress
}

// parts restores partitions, a few at a time.
func (r *restorer) parts(ctx context.Context, list []part) error {
	r.prog.Partitions.Store(int64(len(list)))
	for _, p := range list {
		r.prog.Octets.Add(int64(p.octets))
	}
	work := make(chan part)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for p := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := r.part(ctx, p); err != nil {
					cancel(fmt.Errorf("restore partition %x: %w", uint64(p.partition), err))
				}
				r.prog.Done.Add(1)
			}
		})
	}
	for _, p := range list {
		if ctx.Err() != nil {
			break
		}
		work <- p
	}
	close(work)
	group.Wait()
	return context.Cause(ctx)
}

func doneKey(p kv.Partition) []byte { return fmt.Appendf([]byte{donePart}, "%016x", uint64(p)) }

func (r *restorer) part(ctx context.Context, p part) error {
	done := false
	err := r.t.DB.View(ctx, keys.Restoring, func(kr kv.Reader) error {
		got, err := kr.GetMany([][]byte{doneKey(p.partition)})
		done = err == nil && got[0] != nil
		return err
	})
	if err != nil || done {
		return err
	}
	if isLocal(p.partition) {
		return damagedf("it is not one that is backed up")
	}
	t, err := readTree(r.objects, p)
	if err != nil {
		return err
	}
	for _, l := range t.bodies {
		if err := r.body(ctx, p.partition, l); err != nil {
			return fmt.Errorf("body %v: %w", l.sum, err)
		}
	}
	if err := r.rows(ctx, t); err != nil {
		return err
	}
	if id, account := keys.AccountOf(p.partition); account && !r.t.Moved {
		if err := mailbox.Renew(ctx, r.t.DB, id, time.Now()); err != nil {
			return err
		}
	}
	return kv.Apply(ctx, r.t.DB, keys.Restoring, func(tx kv.Txn) error { tx.Put(doneKey(p.partition), []byte{1}); return nil })
}

func readTree(o *objects, p part) (*tree, error) {
	b, err := o.read(p.tree)
	if err != nil {
		return nil, err
	}
	t, err := decodeTree(b)
	if err == nil && t.partition != p.partition {
		err = damagedf("a partition's list is that of another")
	}
	return t, err
}

// eachRow goes through all rows of a tree, in the order of their keys. fn gets
// its own value where the row holds one, else nil and where it lies.
func (t *tree) eachRow(o *objects, fn func(key, value []byte, at ref) error) error {
	var last []byte
	for _, l := range t.leaves {
		b, err := o.read(l.at)
		if err != nil {
			return err
		}
		err = rowsOf(b, t.packs, func(key, value []byte, at ref) error {
			if last != nil && bytes.Compare(key, last) <= 0 {
				return damagedf("rows are not in order")
			}
			last = append(last[:0], key...)
			return fn(key, value, at)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Transactions of a restore stay well below the limits.
const (
	batchOctets = 1 << 20
	batchRows   = 4000
)

// rows writes the rows of a partition, over whatever a restore that was cut
// short has left.
func (r *restorer) rows(ctx context.Context, t *tree) error {
	batch := []kv.Item{}
	size := 0
	var last kv.Commit
	first := true
	write := func() error {
		clear := first
		first = false
		c, err := r.t.DB.Update(ctx, t.partition, func(tx kv.Txn) error {
			if clear {
				tx.DeleteRange(nil, nil)
			}
			for _, it := range batch {
				tx.Put(it.Key, it.Value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if last != nil { // one ahead, no more: what waits takes memory
			if err := last.Wait(ctx); err != nil {
				return err
			}
		}
		last, batch, size = c, batch[:0], 0
		return nil
	}
	err := t.eachRow(r.objects, func(key, value []byte, at ref) error {
		if value == nil {
			var err error
			if value, err = r.objects.read(at); err != nil {
				return err
			}
		}
		batch = append(batch, kv.Item{Key: bytes.Clone(key), Value: value})
		size += len(key) + len(value)
		r.prog.Written.Add(int64(len(key) + len(value)))
		if size >= batchOctets || len(batch) >= batchRows {
			return write()
		}
		return nil
	})
	if err == nil {
		err = write()
	}
	if err != nil {
		return err
	}
	return last.Wait(ctx)
}

// body writes a large body.
func (r *restorer) body(ctx context.Context, p kv.Partition, l largeBody) error {
	spool, err := r.t.Blobs.Create(ctx)
	if err != nil {
		return err
	}
	defer spool.Close()
	for _, at := range l.pieces {
		b, err := r.objects.read(at)
		if err != nil {
			return err
		}
		if _, err := spool.Write(b); err != nil {
			return err
		}
		r.prog.Written.Add(int64(len(b)))
	}
	sum, _, err := spool.Sum()
	if err != nil {
		return err
	}
	if sum != l.sum {
		return damagedf("it has another sum")
	}
	_, err = spool.Keep(ctx, owner(p))
	return err
}
