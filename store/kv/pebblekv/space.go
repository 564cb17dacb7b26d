package pebblekv

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
)

// space refuses writes before the disk is full, which Pebble does not survive
// well. It asks the file system once a second at most.
type space struct {
	fs  vfs.FS
	dir string
	min int64

	mu    sync.Mutex // guards what follows
	asked time.Time
	free  uint64
	known bool
}

// smallWrite is how many octets of values that stay in the log a small write
// has for each of its keys. What is done to many entries at once has some in
// its account's log of changes; a message has thousands and few keys.
const smallWrite = 64

// check says why a transaction cannot be written. While space is short, small
// writes still go: flags, deletions, results of attempts, for people must be
// able to make room. Messages do not, but for the smallest.
func (sp *space) check(stored, keys int) error {
	if sp.min < 0 {
		return nil
	}
	free, known := sp.ask()
	need := uint64(sp.min)
	if stored <= smallWrite*keys {
		need /= 2
	}
	if known && free < need {
		return fmt.Errorf("%w: disk is nearly full (%d octets left): %w", kv.ErrReadOnly, free, syscall.ENOSPC)
	}
	return nil
}

func (sp *space) ask() (free uint64, known bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if now := time.Now(); now.Sub(sp.asked) >= time.Second {
		usage, err := sp.fs.GetDiskUsage(sp.dir)
		sp.asked, sp.free, sp.known = now, usage.AvailBytes, err == nil
	}
	return sp.free, sp.known
}
