package confine

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that the kernel, or this build, cannot confine.
var ErrUnsupported = errors.New("not supported here")

// Paths is what a confined process sees. What does not exist is left out.
type Paths struct {
	ReadOnly  []string // files, or directories with all below them
	ReadWrite []string
}

// What Landlock can govern of files, by version. landlock(7)
const (
	readFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir   = unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	version1  = unix.LANDLOCK_ACCESS_FS_EXECUTE | fileWrite | readFile | readDir |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	version2 = version1 | unix.LANDLOCK_ACCESS_FS_REFER
	version3 = version2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// Confine forbids new privileges, and all files but those named, for good. It
// fails with something that wraps ErrUnsupported where the kernel has no
// Landlock, and in builds with cgo, whose threads Go does not govern.
func Confine(p Paths) error {
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", ErrUnsupported)
	}
	handled := uint64(version3)
	switch version {
	case 1:
		handled = version1
	case 2:
		handled = version2
	}
	rules := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	// The first member alone: what older kernels know.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), 8, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	ruleset := os.NewFile(fd, "landlock")
	defer ruleset.Close()
	for _, path := range p.ReadOnly {
		if err := allow(ruleset, path, readFile|readDir); err != nil {
			return err
		}
	}
	for _, path := range p.ReadWrite {
		if err := allow(ruleset, path, handled&^unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
			return err
		}
	}
	if err := allThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset.Fd(), 0, 0); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return nil
}

func allow(ruleset *os.File, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("landlock %s: %w", path, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("landlock %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= readFile | fileWrite | unix.LANDLOCK_ACCESS_FS_TRUNCATE // all that a file has
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset.Fd(), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock %s: %w", path, errno)
	}
	return nil
}

// allThreads makes a system call on every thread: these calls govern only the
// one that makes them.
func allThreads(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return fmt.Errorf("%w: built with cgo", ErrUnsupported)
	}
	return errno
}
