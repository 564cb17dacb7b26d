package pebblekv_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

// increment adds one to the counter of p, with a body, and gives its value.
func increment(tx kv.Txn) (n uint64, err error) {
	v, err := tx.Get([]byte("n"))
	if err == nil {
		n = binary.BigEndian.Uint64(v)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return 0, err
	}
	n++
	number := binary.BigEndian.AppendUint64(nil, n)
	tx.Put([]byte("n"), number)
	tx.Put(append([]byte("row"), number...), body(n))
	return n, nil
}

func body(n uint64) []byte {
	b := make([]byte, n*977%9000)
	for i := range b {
		b[i] = byte(uint64(i) ^ n)
	}
	return b
}

// counted reads the counter of p and checks that every row below it is there.
func counted(s kv.Store, p kv.Partition, t testing.TB) (n uint64) {
	t.Helper()
	err := s.View(t.Context(), p, func(r kv.Reader) error {
		v, err := r.Get([]byte("n"))
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		n = binary.BigEndian.Uint64(v)
		row := uint64(0)
		for item, err := range r.Scan([]byte("row"), []byte("rox"), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			row++
			if got := binary.BigEndian.Uint64(item.Key[3:]); got != row || string(item.Value) != string(body(row)) {
				return fmt.Errorf("row %d is %d with %d octets", row, got, len(item.Value))
			}
		}
		if row != n {
			return fmt.Errorf("%d rows, but the counter is %d", row, n)
		}
		return nil
	})
	if err != nil {
		t.Errorf("partition %d: %v", p, err)
	}
	return n
}

// After a power cut everything that was acknowledged or seen is there, whole
// transactions only, in every partition a prefix of what was ordered.
func TestPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	const partitions = 4
	for round := range 6 {
		s := open(t, "data/store", pebblekv.Options{FS: fs})
		var known [partitions]atomic.Uint64 // acknowledged or shown
		learn := func(p int, n uint64) {
			for old := known[p].Load(); n > old && !known[p].CompareAndSwap(old, n); old = known[p].Load() {
			}
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 3 * partitions {
			p := w % partitions
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if w >= 2*partitions {
						s.View(t.Context(), kv.Partition(p), func(r kv.Reader) error {
							if v, err := r.Get([]byte("n")); err == nil {
								learn(p, binary.BigEndian.Uint64(v))
							}
							return nil
						})
						continue
					}
					var n uint64
					err := kv.Apply(t.Context(), s, kv.Partition(p), func(tx kv.Txn) (err error) {
						n, err = increment(tx)
						return err
					})
					if err != nil {
						t.Errorf("increment: %v", err)
						return
					}
					learn(p, n)
				}
			})
		}
		time.Sleep(time.Duration(20+round*10) * time.Millisecond)
		var lower [partitions]uint64 // read before the cut
		for p := range lower {
			lower[p] = known[p].Load()
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 50, 90}[round%3],
			RNG:                 rand.New(rand.NewPCG(uint64(round), 1)),
		})
		close(stop)
		wg.Wait()
		s.Close()
		fs = after
		s = open(t, "data/store", pebblekv.Options{FS: fs})
		for p := range partitions {
			if n := counted(s, kv.Partition(p), t); n < lower[p] {
				t.Errorf("round %d, partition %d: %d were acknowledged, %d are left", round, p, lower[p], n)
			}
		}
		s.Close()
	}
}

// A failed sync makes the store read-only. What was not synced is neither
// acknowledged nor shown, later syncs that seem to work change nothing, and
// a new start finds all that was acknowledged.
func TestSyncFails(t *testing.T) {
	for name, failure := range map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			var failing atomic.Bool
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				writes := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo ||
					op.Kind == errorfs.OpFileWrite && failure == syscall.ENOSPC
				if failing.Load() && writes && strings.HasSuffix(op.Path, ".log") {
					return failure
				}
				return nil
			}))
			s, err := pebblekv.Open("store", pebblekv.Options{FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, 1, "k", []byte("old"))
			put(t, s, 2, "k", []byte("other"))
			failing.Store(true)
			watch, err := s.Watch(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error {
				tx.Put([]byte("k"), []byte("new"))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(t.Context()); !errors.Is(err, kv.ErrReadOnly) || !errors.Is(err, failure) {
				t.Fatalf("Wait gives %v", err)
			}
			failing.Store(false)
			_, err = s.Update(t.Context(), 2, func(tx kv.Txn) error { return nil })
			if !errors.Is(err, kv.ErrReadOnly) {
				t.Errorf("Update gives %v", err)
			}
			err = s.View(t.Context(), 1, func(kv.Reader) error { return nil })
			if !errors.Is(err, kv.ErrReadOnly) {
				t.Errorf("View of what is not durable gives %v", err)
			}
			if got := get(t, s, 2, "k"); string(got) != "other" {
				t.Errorf("another partition holds %q", got)
			}
			select {
			case v := <-watch:
				t.Errorf("the watch tells of version %d", v)
			default:
			}
			after := mem.CrashClone(vfs.CrashCloneCfg{})
			s.Close() // tells of the failure
			s = open(t, "store", pebblekv.Options{FS: after})
			if got := get(t, s, 1, "k"); string(got) != "old" {
				t.Errorf("after a new start: %q", got)
			}
			put(t, s, 1, "k", []byte("newest"))
		})
	}
}

// A sync that hangs keeps readers of that partition waiting, and nobody else.
func TestSyncHangs(t *testing.T) {
	var hold sync.Mutex
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			hold.Lock()
			defer hold.Unlock()
		}
		return nil
	}))
	s := open(t, "store", pebblekv.Options{FS: fs})
	put(t, s, 1, "k", []byte("old"))
	hold.Lock()
	unlock := sync.OnceFunc(hold.Unlock)
	defer unlock()
	var commits []kv.Commit
	for i := range 3 { // the next writers go on, on the newest state
		c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error {
			v, err := tx.Get([]byte("k"))
			tx.Put([]byte("k"), fmt.Append(nil, string(v), i))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
	}
	seen := make(chan string)
	go s.View(t.Context(), 1, func(r kv.Reader) error {
		v, err := r.Get([]byte("k"))
		seen <- string(v)
		return err
	})
	put2 := func() error { return s.View(t.Context(), 2, func(kv.Reader) error { return nil }) }
	if err := put2(); err != nil {
		t.Fatal(err)
	}
	select {
	case v := <-seen:
		t.Fatalf("a view shows %q before it is durable", v)
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	if v := <-seen; v != "old012" {
		t.Errorf("the view shows %q", v)
	}
	for _, c := range commits {
		if err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// When Pebble gives up, the process is told to end, and nobody is told that
// anything is durable.
func TestFatal(t *testing.T) {
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && strings.Contains(op.Path, "MANIFEST") && op.Kind == errorfs.OpFileSync {
			return syscall.EIO
		}
		return nil
	}))
	fatal := make(chan error, 10)
	s, err := pebblekv.Open("store", pebblekv.Options{FS: fs, MemTableSize: 1, Fatal: func(err error) {
		fatal <- err
		runtime.Goexit()
	}})
	if err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	go func() { // writes until a flush wants to enter its table
		for i := 0; ; i++ {
			err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
				for j := range 60 {
					tx.Put(fmt.Append(nil, i, j), make([]byte, 1000))
				}
				return nil
			})
			if err != nil {
				return
			}
		}
	}()
	if err := <-fatal; !strings.Contains(err.Error(), "cannot go on") {
		t.Errorf("the reason given is %v", err)
	}
}

// killedDir names the store of the process that TestKill kills.
const killedDir = "PEBBLEKV_TEST_KILLED"

// A process that is killed loses nothing that it has acknowledged.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	var acknowledged [4]uint64
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$", "-test.v=false")
		cmd.Env = append(os.Environ(), killedDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 200+round*100 {
				cmd.Process.Kill()
			}
			p, number, ok := strings.Cut(lines.Text(), " ")
			part, err := strconv.Atoi(p)
			value, err2 := strconv.ParseUint(number, 10, 64)
			if !ok || err != nil || err2 != nil {
				continue // cut short
			}
			acknowledged[part] = max(acknowledged[part], value)
		}
		io.Copy(io.Discard, out)
		cmd.Wait()
		s := open(t, dir, pebblekv.Options{})
		for p, want := range acknowledged {
			if got := counted(s, kv.Partition(p), t); got < want {
				t.Errorf("partition %d: %d were acknowledged, %d are left", p, want, got)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged[0] == 0 {
		t.Error("nothing was acknowledged at all")
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, dir, pebblekv.Options{})
	var wg sync.WaitGroup
	for w := range 8 {
		p := w % 4
		wg.Go(func() {
			for {
				var n uint64
				err := kv.Apply(t.Context(), s, kv.Partition(p), func(tx kv.Txn) (err error) {
					n, err = increment(tx)
					return err
				})
				if err != nil {
					return
				}
				if _, err := fmt.Printf("%d %d\n", p, n); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}
