package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory gives the proportional set size of a process in octets, zero if it
// has ended.
func Memory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var n int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
			return n << 10
		}
	}
	return 0
}

// ProcessorTime gives what a process has used so far, in steps of 10 ms; zero
// if it has ended.
func ProcessorTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	total := 0
	if f := strings.Fields(after); len(f) > 14 {
		for _, field := range f[11:13] { // utime and stime, proc(5)
			n, _ := strconv.Atoi(field)
			total += n
		}
	}
	return time.Duration(total) * 10 * time.Millisecond
}

// Sockets tells how many sockets the program has open.
func (w *Waxwing) Sockets() int {
	dir := fmt.Sprintf("/proc/%d/fd", w.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.tb.Fatal(err)
	}
	sockets := 0
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			sockets++
		}
	}
	return sockets
}
