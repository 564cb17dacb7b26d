//go:build crash

package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/test/traffic"
)

// smallDisk makes a file system of so many octets, in a file that holds none
// of what is not written, and mounts it.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a small disk cannot be mounted here (it takes root, mkfs.ext4 and loop devices): %v\n%s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

// free gives the free space where dir lies.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Bavail) * stat.Bsize
}

// leave makes somebody else's file take all but so many octets of the disk.
func leave(t *testing.T, dir string, octets int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "somebody-elses"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 { // the file system needs some for itself, and others write
		n := free(t, dir) - octets
		if n <= 0 {
			return
		}
		size := fi.Size()
		for unix.Fallocate(int(f.Fd()), 0, size, n) != nil && n > 4096 {
			n /= 2
		}
		if fi, err = f.Stat(); err != nil {
			t.Fatal(err)
		}
	}
}

// emptied removes it.
func emptied(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "somebody-elses")); err != nil {
		t.Fatal(err)
	}
}

// On a disk that gets full mail is put off. While little is left people can
// still delete, and on a disk on which nothing is left they can read. When
// there is space again all goes on, without a new start.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 900<<20)
	w := startTown(t, filepath.Join(dir, "waxwing"))
	stop := w.people()
	everything := traffic.Kinds
	w.progress(everything...)

	leave(t, dir, 190<<20) // less than what messages must leave, more than half of that
	time.Sleep(1500 * time.Millisecond)
	before := w.books.Done()
	w.progress(traffic.Mark, traffic.Expunge, traffic.Pop)
	now := w.books.Done()
	for _, kind := range []string{traffic.Deliver, traffic.Append, traffic.Submit} {
		t.Logf("little space: %d x %s", now[kind]-before[kind], kind)
	}
	emptied(t, dir)
	w.progress(everything...)

	for range max(1, kills()/5) {
		leave(t, dir, 0)
		time.Sleep(3 * time.Second)
		if n := free(t, dir); n > 4<<20 {
			t.Logf("%d octets are free", n)
		}
		if _, err := w.Numbers(w.Bob, "INBOX"); err != nil {
			t.Errorf("on a full disk nothing can be read: %v", err)
		}
		emptied(t, dir)
		w.progress(everything...)
	}
	stop()
	w.check()

	// A server that is killed on a full disk.
	stop = w.people()
	w.progress(everything...)
	leave(t, dir, 0)
	time.Sleep(time.Second)
	w.Kill()
	stop()
	emptied(t, dir)
	w.Run()
	w.check()
}
