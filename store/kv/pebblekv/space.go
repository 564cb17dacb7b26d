package pebblekv

import (
	"fmt"
	"sync"
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

// smallWrite is what may still be written when space gets short: flags,
// deletions and results of attempts, but no messages.
const smallWrite = 4 << 10

// check says why a transaction of so many octets cannot be written.
func (sp *space) check(octets int) error {
	if sp.min < 0 {
		return nil
	}
	free, known := sp.ask()
	need := uint64(sp.min)
	if octets <= smallWrite {
		need /= 2
	}
	if known && free < need {
		return fmt.Errorf("%w: disk is nearly full (%d octets left)", kv.ErrReadOnly, free)
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
