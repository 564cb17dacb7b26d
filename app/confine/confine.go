// Package confine makes a started process smaller: it becomes an ordinary
// user, cannot gain privileges any more, and sees only the files that it needs
// (Landlock, landlock(7)).
package confine

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Become gives up root for the user of that name and its groups. It changes
// all threads of the process and cannot be undone.
func Become(name string) error {
	uid, gid, groups, err := lookup(name)
	if err != nil {
		return err
	}
	if os.Getuid() == uid && os.Geteuid() == uid {
		return nil
	}
	// The groups first: afterwards it is not allowed any more.
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("take the groups of %s: %w", name, err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("take the group of %s: %w", name, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("become %s: %w", name, err)
	}
	if uid != 0 && syscall.Setuid(0) == nil {
		return errors.New("root could be taken back")
	}
	return nil
}

// Own gives a directory tree to the user of that name. Links are not followed.
func Own(tree, name string) error {
	uid, gid, _, err := lookup(name)
	if err != nil {
		return err
	}
	return own(tree, uid, gid)
}

// Known tells whether there is a user of that name; the error says how to make
// one.
func Known(name string) error {
	_, _, _, err := lookup(name)
	return err
}

func lookup(name string) (uid, gid int, groups []int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("%w; make it with: useradd --system --shell /usr/sbin/nologin %s", err, name)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, 0, nil, err
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return 0, 0, nil, err
		}
		groups = append(groups, n)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, groups, err
}
