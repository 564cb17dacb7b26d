package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Options of a Run.
type Options struct {
	Recipients []Recipient // that the repository is sealed to; see Memory.Recipients
	Full       bool        // read and write everything anew
	Stopped    bool        // no server has the store open
	Host       string
	Program    string // the version of waxwing
	Files      []LocalFile
	Progress   *Progress // may be nil
}

// Progress tells how far a Run is. Others may read it at any time.
type Progress struct {
	Partitions atomic.Int64 // that there are
	Done       atomic.Int64
	Unchanged  atomic.Int64
	Read       atomic.Int64 // octets
	Written    atomic.Int64
}

// parallel is how many partitions are read at a time.
const parallel = 2

// A run is one backup being made.
type run struct {
	ctx    context.Context
	repo   *Repository
	memory *Memory
	source Source
	o      Options
	packer *packer
	prog   *Progress
	empty  map[packID]bool // packs that are being emptied

	mu      sync.Mutex // guards what follows
	parts   []part
	packs   map[packID]bool // that the snapshot needs
	pending []*builtPart    // not yet remembered
	missing []string

	seenMu sync.Mutex // guards seen
	seen   map[seenKey]ref
}

// A seenKey names a body that this run has met in whatever account: mail to
// many is kept once.
type seenKey struct {
	bodyKey
	size int
}

// maxSeen bounds the memory for them.
const maxSeen = 500_000

// A builtPart waits until its packs are durable.
type builtPart struct {
	tree   *tree
	at     ref
	bodies []knownBody
	needs  map[packID]bool
}

// Run makes a backup of a source. What was durable before it began is in it.
func Run(ctx context.Context, repo *Repository, memory *Memory, source Source, o Options) (Snapshot, error) {
	if repo.Sealed() != (len(o.Recipients) > 0) {
		return Snapshot{}, errors.New("public keys are given, and the backup is not encrypted, or the other way round")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{
		ctx: ctx, repo: repo, memory: memory, source: source, o: o, prog: o.Progress,
		packs: make(map[packID]bool), seen: make(map[seenKey]ref),
	}
	if r.prog == nil {
		r.prog = &Progress{}
	}
	began := time.Now().UTC()
	if err := r.learn(); err != nil {
		return Snapshot{}, err
	}
	k := Keys{Recipients: o.Recipients}
	var err error
	r.packer, err = newPacker(ctx, repo.place, k, r.durable, func(n int) { r.prog.Written.Add(int64(n)) })
	if err != nil {
		return Snapshot{}, err
	}
	s := &snapshotFile{}
	err = r.partitions()
	if err == nil {
		s.files, err = r.files()
	}
	if err == nil {
		err = r.packer.flush()
	}
	if err != nil {
		cancel()
		return Snapshot{}, errors.Join(err, r.packer.close())
	}
	if err := r.finish(s, began, k); err != nil {
		return Snapshot{}, errors.Join(err, r.packer.close())
	}
	there := make(map[kv.Partition]bool, len(s.parts))
	for _, p := range s.parts {
		there[p.partition] = true
	}
	return s.Snapshot, errors.Join(memory.forget(there), r.packer.close())
}

// learn brings the memory up to the repository.
func (r *run) learn() error {
	there, err := r.repo.packSizes(r.ctx)
	if err != nil {
		return fmt.Errorf("look at the backup: %w", err)
	}
	snapshots, err := r.repo.outer(r.ctx)
	if err != nil && !errors.Is(err, ErrDamaged) { // a damaged one is for check to tell
		return fmt.Errorf("look at the backup: %w", err)
	}
	if err := r.memory.learn(there, snapshots); err != nil || r.o.Full {
		return err
	}
	r.empty, err = r.memory.sparse()
	return err
}

// partitions backs up all partitions. The queue comes before the accounts: what
// is delivered meanwhile is then in both, and not in none.
func (r *run) partitions() error {
	var list []Versioned
	for v, err := range r.source.Partitions(r.ctx) {
		if err != nil {
			return fmt.Errorf("list partitions: %w", err)
		}
		list = append(list, v)
	}
	rank := func(p kv.Partition) int {
		switch _, account := keys.AccountOf(p); {
		case account:
			return 2
		case p == keys.Directory:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b Versioned) int { return cmp.Compare(rank(a.Partition), rank(b.Partition)) })
	r.prog.Partitions.Store(int64(len(list)))
	for len(list) > 0 {
		// One rank after the other.
		n := 1
		for n < len(list) && rank(list[n].Partition) == rank(list[0].Partition) {
			n++
		}
		if err := r.some(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// some backs up partitions, a few at a time.
func (r *run) some(list []Versioned) error {
	work := make(chan Versioned)
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for v := range work {
				if err := r.partition(ctx, v); err != nil {
					cancel(err)
				}
				r.prog.Done.Add(1)
			}
		})
	}
	for _, v := range list {
		if ctx.Err() != nil {
			break
		}
		work <- v
	}
	close(work)
	group.Wait()
	return context.Cause(ctx)
}

func (r *run) partition(ctx context.Context, v Versioned) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	last, at, f, err := r.memory.last(v.Partition)
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
	}
	if last != nil && v.Version != "" && v.Version == last.version && !r.o.Full && !r.emptying(last, at) {
		r.prog.Unchanged.Add(1)
		r.need(last, at)
		return nil
	}
	b := &builder{run: r, tree: &tree{partition: v.Partition, version: v.Version}, numbers: make(map[packID]int)}
	var known Known
	if !r.o.Full {
		list, err := r.memory.bodies(v.Partition, last, f, r.empty)
		if err != nil {
			return err
		}
		b.small, b.large, known = wholeBodies(list)
		b.startFrom(last)
	}
	if err := r.source.Read(ctx, v.Partition, known, b); err != nil {
		return err
	}
	return b.finish()
}

// emptying tells whether some of a partition lies in a pack that is being
// emptied.
func (r *run) emptying(t *tree, at ref) bool {
	return r.empty[at.pack] || slices.ContainsFunc(t.packs, func(id packID) bool { return r.empty[id] })
}

// need adds a partition to the snapshot.
func (r *run) need(t *tree, at ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, part{t.partition, at, t.rows, t.octets})
	r.packs[at.pack] = true
	for _, id := range t.packs {
		if id != (packID{}) {
			r.packs[id] = true
		}
	}
}

// durable is told of packs by the packer.
func (r *run) durable(p packInfo, notes []note) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.memory.durable(p, notes); err != nil {
		return err
	}
	waiting := r.pending[:0]
	for _, b := range r.pending {
		delete(b.needs, p.id)
		if len(b.needs) > 0 {
			waiting = append(waiting, b)
			continue
		}
		if err := r.memory.keep(b.tree, b.at, b.bodies); err != nil {
			return err
		}
	}
	clear(r.pending[len(waiting):])
	r.pending = waiting
	return nil
}

// files copies what lies beside the store.
func (r *run) files() ([]file, error) {
	var list []file
	for _, f := range r.o.Files {
		copied, err := r.file(f)
		if err != nil {
			return nil, fmt.Errorf("back up %s: %w", f.Path, err)
		}
		list = append(list, copied)
	}
	return list, nil
}

// finish writes the snapshot.
func (r *run) finish(s *snapshotFile, began time.Time, k Keys) error {
	// Somebody may have pruned meanwhile, elsewhere.
	there, err := r.repo.packSizes(r.ctx)
	if err != nil {
		return fmt.Errorf("look at the backup: %w", err)
	}
	for _, f := range s.files {
		for _, at := range f.pieces {
			r.packs[at.pack] = true
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(r.packs), func(a, b packID) int { return slices.Compare(a[:], b[:]) }) {
		info, ok := r.memory.packs[id]
		if stat, have := there[id]; !ok || !have || uint64(stat.Size) != info.size {
			return fmt.Errorf("pack %v has gone from the backup meanwhile; try again", id)
		}
		s.packs = append(s.packs, info)
	}
	slices.SortFunc(r.parts, func(a, b part) int { return cmp.Compare(a.partition, b.partition) })
	s.parts = r.parts
	s.Snapshot = Snapshot{
		ID: newSnapshotID(began), Time: began, Finished: time.Now().UTC(), Host: r.o.Host, Program: r.o.Program,
		Partitions: len(s.parts), Unchanged: int(r.prog.Unchanged.Load()), Files: len(s.files),
		Read: uint64(r.prog.Read.Load()), Written: uint64(r.prog.Written.Load()), Missing: r.missing,
		Stopped: r.o.Stopped,
	}
	for _, p := range s.parts {
		s.Rows += p.rows
		s.Octets += p.octets
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	b, err := s.encode(k, z)
	if err != nil {
		return err
	}
	if err := r.repo.place.Put(r.ctx, snapshotName(s.ID), b); err != nil {
		return fmt.Errorf("write to the backup: %w", err)
	}
	return nil
}

// remember keeps what is known of a partition once its packs are durable.
func (r *run) remember(t *tree, at ref, bodies []knownBody) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	needs := make(map[packID]bool)
	for _, id := range append(slices.Clone(t.packs), at.pack) {
		if id != (packID{}) && !r.memory.has(id) {
			needs[id] = true
		}
	}
	if len(needs) == 0 {
		return r.memory.keep(t, at, bodies)
	}
	r.pending = append(r.pending, &builtPart{t, at, bodies, needs})
	return nil
}

func (r *run) met(k seenKey) (ref, bool) {
	r.seenMu.Lock()
	defer r.seenMu.Unlock()
	at, ok := r.seen[k]
	return at, ok
}

func (r *run) meet(k seenKey, at ref) {
	r.seenMu.Lock()
	defer r.seenMu.Unlock()
	if len(r.seen) >= maxSeen {
		clear(r.seen)
	}
	r.seen[k] = at
}
