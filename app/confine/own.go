package confine

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// OwnLike gives a directory tree to whoever owns another directory. Links are
// not followed.
func OwnLike(tree, like string) error {
	var stat syscall.Stat_t
	if err := syscall.Stat(like, &stat); err != nil {
		return fmt.Errorf("owner of %s: %w", like, err)
	}
	return own(tree, int(stat.Uid), int(stat.Gid))
}

// own changes the owner of everything in a tree. It works within the opened
// root, so that nobody can lead it elsewhere with links.
func own(tree string, uid, gid int) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, uid, gid)
	})
}
