package app

import (
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryOf gives how many octets of memory the program may use: those of the
// machine, or what its control group allows. It reads below root.
func memoryOf(root fs.FS) int64 {
	memory := int64(1 << 30)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = int64(info.Totalram) * int64(info.Unit)
	}
	if limit, ok := groupLimit(root); ok {
		memory = min(memory, limit)
	}
	return memory
}

// groupLimit gives the lowest limit of the control groups that we are in,
// cgroups(7) version 2.
func groupLimit(root fs.FS) (limit int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(groups)) {
		group, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !v2 {
			continue
		}
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			for _, file := range []string{"memory.max", "memory.high"} {
				text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", dir, file))
				if err != nil {
					continue
				}
				n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // not "max"
				if err == nil && n > 0 && (!ok || n < limit) {
					limit, ok = n, true
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, ok
}

// shareMemory tells Go's runtime how to use the memory, unless the environment
// does.
func shareMemory(memory int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(restPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory / 4 * 3)
	}
}

// cacheFor gives the size of the storage engine's cache.
func cacheFor(memory int64) int64 {
	return min(max(memory/16, 32<<20), 1<<30)
}

// answersFor gives how much is kept of what FETCH answers: an envelope takes
// some 400 octets.
func answersFor(memory int64) int64 {
	return min(max(memory/32, 16<<20), 512<<20)
}

// abstractsFor gives how much is kept of what is searched and sorted by.
func abstractsFor(memory int64) int64 {
	return min(max(memory/16, 64<<20), 1<<30)
}
