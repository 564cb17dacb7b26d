package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waxwing/test/traffic"
)

// rounds is how often a test does what it does: as often as fits into "make
// test", or $WAXWING_FAULT_ROUNDS times.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("WAXWING_FAULT_ROUNDS")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return max(1, few/2)
	}
	return few
}

// chance is a random fault: one operation in n that which wants fails so.
func chance(n int, err error, which func(op Op, name string) bool) Fault {
	return func(op Op, name string) error {
		if which(op, name) && rand.IntN(n) == 0 {
			return err
		}
		return nil
	}
}

// What a disk may do that passes: everything is put off meanwhile, and taken
// again afterwards, without a new start.
var passing = []struct {
	name  string
	fault Fault
}{
	{"full", Full},
	{"full in the middle of a write", func(op Op, name string) error {
		if err := Full(op, name); err != nil {
			return Short
		}
		return nil
	}},
	{"full now and then", func(op Op, name string) error {
		if err := Full(op, name); err != nil && rand.IntN(3) == 0 {
			return err
		}
		return nil
	}},
	{"large bodies fail to be written", chance(3, syscall.EIO, func(op Op, name string) bool { return isBlob(name) && op == OpWrite })},
	{"large bodies fail to be synced", chance(2, syscall.EIO, func(op Op, name string) bool { return isBlob(name) && op == OpSync })},
	{"large bodies get no names", chance(2, syscall.EIO, func(op Op, name string) bool { return isBlob(name) && (op == OpMake || op == OpDrop) })},
	{"no room for the log", chance(1, syscall.ENOSPC, func(op Op, name string) bool { return isLog(name) && (op == OpMake || op == OpRoom) })},
}

func TestPassingFaults(t *testing.T) {
	for _, tt := range passing {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			far := traffic.NewSink(t)
			s := open(t, NewDisk(), far)
			books := traffic.NewLedger()
			for range rounds(1) {
				s.suffer(books, tt.fault)
			}
			now := books.Moment()
			s.drain()
			for number, n := range s.away() {
				if n > 1 { // the relay goes on until it has noted what the other host has said
					t.Errorf("%s was sent %d times", number, n)
				}
			}
			s.verify()
			books.Check(t, s.Server, now, now, s.away())
			if err := s.close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				return
			}
			s = open(t, s.disk, far) // and so after a new start
			defer s.close()
			s.verify()
			books.Check(t, s.Server, now, now, s.away())
			t.Logf("acknowledged %v, put off %v", books.Done(), books.Refused())
		})
	}
}

// suffer lets the disk have a fault for a while and waits until all goes on.
func (s *server) suffer(books *traffic.Ledger, fault Fault) {
	s.t.Helper()
	stop := s.run(books)
	s.progress(books)
	s.disk.Fail(fault)
	time.Sleep(700 * time.Millisecond)
	s.disk.Fail(nil)
	s.progress(books)
	stop()
}

// drain waits until the queue is empty.
func (s *server) drain() {
	s.t.Helper()
	for until := time.Now().Add(time.Minute); len(s.Queued()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatalf("%d messages stay in the queue", len(s.Queued()))
		}
	}
}

// run lets everybody work until stop is called, or the test ends.
func (s *server) run(books *traffic.Ledger) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		traffic.Run(s.Server, books, ended)
	}()
	stop = sync.OnceFunc(func() {
		close(ended)
		<-done
	})
	s.t.Cleanup(stop)
	return stop
}

// progress waits until more of every kind has been acknowledged.
func (s *server) progress(books *traffic.Ledger) {
	s.t.Helper()
	before := books.Done()
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		lacking := ""
		now := books.Done()
		for _, kind := range traffic.Kinds {
			if now[kind] <= before[kind] {
				lacking = kind
			}
		}
		switch {
		case lacking == "":
			return
		case len(s.failed) > 0:
			s.t.Fatalf("the store has failed: %v", <-s.failed)
		case len(books.Wrong()) > 0:
			s.t.Fatal(books.Wrong())
		case time.Now().After(until):
			s.t.Fatalf("no %s succeeds; acknowledged %v, put off %v", lacking, now, books.Refused())
		}
	}
}

// What nobody can trust a disk after: the engine takes nothing any more and
// says so. A new start, of the process or after a loss of power, finds all
// that was acknowledged.
func TestLastingFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		op   Op
		err  error
	}{
		{"EIO on sync", OpSync, syscall.EIO},
		{"ENOSPC on sync", OpSync, syscall.ENOSPC},
		{"EIO on write", OpWrite, syscall.EIO},
		{"short write", OpWrite, Short},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			disk := NewDisk()
			books := traffic.NewLedger()
			for round := range rounds(2) {
				s := open(t, disk, nil)
				stop := s.run(books)
				s.progress(books)
				var once atomic.Bool
				disk.Fail(func(op Op, name string) error {
					if op == tt.op && isLog(name) && rand.IntN(10) == 0 && !once.Swap(true) {
						return tt.err
					}
					return nil
				})
				select {
				case <-s.failed:
				case <-time.After(time.Minute):
					t.Fatal("the store has not told that it failed")
				}
				time.Sleep(50 * time.Millisecond) // answers of a server that cannot write
				stop()
				disk.Fail(nil)
				now := books.Moment()
				if round%2 == 0 { // else only the process begins anew
					disk = disk.Cut(rand.New(rand.NewPCG(uint64(round), 1)), 50)
				}
				_ = s.close() // tells of the failure
				s = open(t, disk, nil)
				s.verify()
				books.Check(t, s.Server, now, now, s.away())
				if err := s.close(); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("acknowledged %v, put off %v", books.Done(), books.Refused())
		})
	}
}

// Power is lost in the middle of everything, and of what was not synced a
// random part is gone. What had been acknowledged is there, once and whole, and
// what had been shown has not changed its name.
func TestPowerLoss(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WAXWING_SEED"), 10, 64); err == nil {
		seed = s
	}
	for _, seed := range []uint64{1, seed} {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			disk, far := NewDisk(), traffic.NewSink(t)
			books := traffic.NewLedger()
			for range rounds(5) {
				s := open(t, disk, far)
				stop := s.run(books)
				time.Sleep(time.Duration(50+rng.IntN(600)) * time.Millisecond)
				before := books.Moment()
				after := disk.Cut(rng, []int{0, 5, 50, 95}[rng.IntN(4)])
				later := books.Moment()
				stop()
				if err := s.close(); err != nil {
					t.Error(err)
				}
				books.Settle(before)
				disk = after
				s = open(t, disk, far)
				s.verify()
				books.Check(t, s.Server, before, later, s.away())
				if err := s.close(); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Logf("WAXWING_SEED=%d", seed)
					return
				}
			}
			t.Logf("seed %d: acknowledged %v", seed, books.Done())
		})
	}
}
