package confine

import (
	"io/fs"
	"os"
)

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
