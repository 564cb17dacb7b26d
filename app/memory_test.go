package app

import (
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	group := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	machine := memoryOf(fstest.MapFS{})
	if machine < 1<<20 {
		t.Errorf("this machine has %d octets", machine)
	}
	for name, tt := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"no limit": {fstest.MapFS{
			"proc/self/cgroup":                      group("0::/mail.service\n"),
			"sys/fs/cgroup/mail.service/memory.max": group("max\n"),
		}, machine},
		"own": {fstest.MapFS{
			"proc/self/cgroup":                      group("0::/mail.service\n"),
			"sys/fs/cgroup/mail.service/memory.max": group("1048576\n"),
		}, 1 << 20},
		"from above": {fstest.MapFS{
			"proc/self/cgroup":                          group("1:name=x:/y\n0::/a/b/mail.service\n"),
			"sys/fs/cgroup/a/b/mail.service/memory.max": group("2097152\n"),
			"sys/fs/cgroup/a/memory.high":               group("1048576\n"),
		}, 1 << 20},
		"in a container": {fstest.MapFS{
			"proc/self/cgroup":         group("0::/\n"),
			"sys/fs/cgroup/memory.max": group("1048576"),
		}, 1 << 20},
		"nonsense": {fstest.MapFS{
			"proc/self/cgroup":         group("0::/../..\nx"),
			"sys/fs/cgroup/memory.max": group("-1"),
		}, machine},
	} {
		if got := memoryOf(tt.files); got != tt.want {
			t.Errorf("%s: %d octets, not %d", name, got, tt.want)
		}
	}
	for memory, want := range map[int64]int64{256 << 20: 32 << 20, 2 << 30: 128 << 20, 64 << 30: 1 << 30} {
		if cache := cacheFor(memory); cache != want {
			t.Errorf("of %d octets %d are used", memory, cache)
		}
	}
}
