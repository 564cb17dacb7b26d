package bench

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// bareSyncs says what the disk can do just now, without any server: how long
// an append of so many octets to a file with fdatasync takes, at the median.
func bareSyncs(dir string, size int) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "syncs")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, size)
	var took []time.Duration
	for start := time.Now(); time.Since(start) < time.Second; {
		begun := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
