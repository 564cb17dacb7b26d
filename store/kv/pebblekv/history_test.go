package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"waxwing/store/kv"
)

// A change of the model: what transaction n of a partition does. All of it
// follows from n, so that a state can be made again from its number.
type modelOp struct {
	kind    byte // put, delete, delete range
	key, hi []byte
	value   []byte
}

func modelOps(p kv.Partition, n uint64) []modelOp {
	rng := rand.New(rand.NewPCG(uint64(p), n))
	key := func() []byte { return fmt.Appendf(nil, "k%02d", rng.IntN(60)) }
	ops := []modelOp{{kind: 'p', key: []byte("n"), value: binary.BigEndian.AppendUint64(nil, n)}}
	for range 1 + rng.IntN(4) {
		switch k := key(); {
		case rng.IntN(5) == 0:
			ops = append(ops, modelOp{kind: 'd', key: k})
		case rng.IntN(20) == 0:
			ops = append(ops, modelOp{kind: 'r', key: k, hi: append(k, 0xff)})
		default:
			v := noise(rng.Uint64(), rng.IntN(100))
			if rng.IntN(2) == 0 {
				v = noise(rng.Uint64(), 900+rng.IntN(6000))
				if rng.IntN(2) == 0 {
					v = bytes.Repeat(v[:100], 40) // worth compressing
				}
			}
			ops = append(ops, modelOp{kind: 'p', key: k, value: v})
		}
	}
	return ops
}

func modelState(p kv.Partition, n uint64) map[string][]byte {
	state := make(map[string][]byte)
	for i := uint64(1); i <= n; i++ {
		for _, op := range modelOps(p, i) {
			switch op.kind {
			case 'p':
				state[string(op.key)] = op.value
			case 'd':
				delete(state, string(op.key))
			case 'r':
				for k := range state {
					if k >= string(op.key) && k < string(op.hi) {
						delete(state, k)
					}
				}
			}
		}
	}
	return state
}

// step carries out the next transaction of the model.
func step(ctx context.Context, s *Store, p kv.Partition) (n uint64, _ kv.Commit, _ error) {
	c, err := s.Update(ctx, p, func(tx kv.Txn) error {
		v, err := tx.Get([]byte("n"))
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		n = 1
		if err == nil {
			n = binary.BigEndian.Uint64(v) + 1
		}
		for _, op := range modelOps(p, n) {
			switch op.kind {
			case 'p':
				tx.Put(op.key, op.value)
			case 'd':
				tx.Delete(op.key)
			case 'r':
				tx.DeleteRange(op.key, op.hi)
			}
		}
		return nil
	})
	return n, c, err
}

// checkModel reads all of a partition and compares it with the model. It
// gives the number of the state.
func checkModel(ctx context.Context, s *Store, p kv.Partition) (n uint64, err error) {
	err = s.View(ctx, p, func(r kv.Reader) error {
		got := make(map[string][]byte)
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			got[string(item.Key)] = bytes.Clone(item.Value)
		}
		if v := got["n"]; v != nil {
			n = binary.BigEndian.Uint64(v)
		}
		want := modelState(p, n)
		if len(got) != len(want) {
			return fmt.Errorf("state %d has %d keys, want %d", n, len(got), len(want))
		}
		for k, v := range want {
			if !bytes.Equal(got[k], v) {
				return fmt.Errorf("state %d: %q has %d octets, want %d", n, k, len(got[k]), len(v))
			}
		}
		return nil
	})
	return n, err
}

func testOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	o.Fatal = func(err error) { t.Errorf("fatal: %v", err); runtime.Goexit() }
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Random histories in several partitions, with flushes, small segments and
// collecting, cut at random points: nothing acknowledged or shown is lost, no
// transaction is there in half, and the next start goes on from there.
func TestHistoriesAreCut(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 4
	}
	fs := vfs.NewCrashableMem()
	const partitions = 4
	var collected int
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		o := Options{FS: fs, SegmentSize: 100 << 10, MinFree: -1}
		s := testOpen(t, "data/store", o)
		before := s.log.segments.count() - int(s.log.next.segment())
		var known [partitions]atomic.Uint64 // acknowledged or shown
		stop := make(chan struct{})
		stopped := func() bool {
			select {
			case <-stop:
				return true
			default:
				return false
			}
		}
		var running sync.WaitGroup
		for i := range partitions {
			p := kv.Partition(i + 1)
			running.Go(func() {
				for !stopped() {
					n, c, err := step(t.Context(), s, p)
					if err == nil && n%3 == 0 {
						err = c.Wait(t.Context())
						known[i].Store(n)
					}
					if err != nil {
						t.Errorf("step: %v", err)
						return
					}
				}
			})
			running.Go(func() {
				for !stopped() {
					n, err := checkModel(t.Context(), s, p)
					if err != nil {
						t.Errorf("view of partition %d: %v", p, err)
						return
					}
					for old := known[i].Load(); n > old && !known[i].CompareAndSwap(old, n); old = known[i].Load() {
					}
				}
			})
		}
		running.Go(func() { // the memory is too large to be flushed by itself
			for !stopped() {
				s.keeper.note(place(s.log.applied.Load()))
				s.db.Flush()
				s.keeper.churn.Store(1 << 20)
				prompt(s.keeper.collect)
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(time.Duration(50+rng.IntN(150)) * time.Millisecond)
		var lower [partitions]uint64
		for i := range lower {
			lower[i] = known[i].Load()
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 30, 60, 90}[rng.IntN(4)],
			RNG:                 rand.New(rand.NewPCG(uint64(round), 1)),
		})
		close(stop)
		running.Wait()
		s.Close() // collecting has ended
		collected += before + int(s.log.next.segment()) + 1 - s.log.segments.count()
		fs = after
		s = testOpen(t, "data/store", Options{FS: fs, SegmentSize: o.SegmentSize, MinFree: -1})
		for i := range partitions {
			n, err := checkModel(t.Context(), s, kv.Partition(i+1))
			if err != nil || n < lower[i] {
				t.Errorf("round %d, partition %d: state %d, %d was known: %v", round, i+1, n, lower[i], err)
			}
		}
		s.Close()
		if t.Failed() {
			return
		}
	}
	t.Log(collected, "segments were collected")
}

// No room for the log refuses transactions, and takes nothing back; when there
// is room again all goes on.
func TestNoRoom(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".log") &&
			(op.Kind == errorfs.OpFilePreallocate || op.Kind == errorfs.OpCreate) {
			return errors.New("no space left on device")
		}
		return nil
	}))
	s := testOpen(t, "store", Options{FS: fs, SegmentSize: 64 << 10, MinFree: -1})
	defer s.Close()
	write := func() error {
		_, c, err := step(t.Context(), s, 1)
		if err != nil {
			return err
		}
		return c.Wait(t.Context())
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	refused := false
	for range 200 {
		if err := write(); errors.Is(err, kv.ErrReadOnly) {
			refused = true
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("writes go on without room")
	}
	n, err := checkModel(t.Context(), s, 1)
	if err != nil || n == 0 {
		t.Errorf("a full disk: state %d: %v", n, err)
	}
	full.Store(false)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := write()
		if err == nil {
			break
		}
		if !errors.Is(err, kv.ErrReadOnly) || time.Now().After(deadline) {
			t.Fatalf("with room again: %v", err)
		}
	}
	if m, err := checkModel(t.Context(), s, 1); err != nil || m != n+1 {
		t.Errorf("afterwards: state %d, want %d: %v", m, n+1, err)
	}
}
