package faults

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/blob/fsblob"
)

// Blobs gives the disk as the blob store wants it.
func (d *Disk) Blobs() fsblob.FS { return blobFS{d} }

type blobFS struct{ d *Disk }

func (b blobFS) Open(name string) (fsblob.File, error) {
	f, err := b.d.Open(name)
	if err != nil {
		return nil, err
	}
	return blobFile{f, name}, nil
}

func (b blobFS) Create(name string) (fsblob.File, error) {
	if _, err := b.d.Stat(name); err == nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f, err := b.d.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return blobFile{f, name}, nil
}

func (b blobFS) Mkdir(name string) error {
	if _, err := b.d.Stat(path.Dir(name)); err != nil {
		return err
	}
	if _, err := b.d.Stat(name); err == nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if err := b.d.check(OpMake, name); err != nil {
		return err
	}
	return b.d.MkdirAll(name, 0o700)
}

func (b blobFS) Link(oldname, newname string) error {
	if _, err := b.d.Stat(newname); err == nil {
		return &fs.PathError{Op: "link", Path: newname, Err: fs.ErrExist}
	}
	return b.d.Link(oldname, newname)
}

func (b blobFS) Rename(oldname, newname string) error        { return b.d.Rename(oldname, newname) }
func (b blobFS) Remove(name string) error                    { return b.d.Remove(name) }
func (b blobFS) Stat(name string) (fs.FileInfo, error)       { return b.d.Stat(name) }
func (b blobFS) Touch(name string, modified time.Time) error { return nil }
func (b blobFS) Lock(name string) (io.Closer, error)         { return b.d.Lock(name) }
func (b blobFS) Free(string) (int64, error)                  { return b.d.free(), nil }

func (b blobFS) OpenDir(name string) (fsblob.Dir, error) {
	f, err := b.d.OpenDir(name)
	if err != nil {
		return nil, err
	}
	names, err := b.d.List(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &blobDir{disk: b.d, dir: f, name: name, names: names}, nil
}

type blobFile struct {
	vfs.File
	name string
}

func (f blobFile) Name() string               { return f.name }
func (f blobFile) Stat() (fs.FileInfo, error) { return f.File.Stat() }

type blobDir struct {
	disk  *Disk
	dir   vfs.File
	name  string
	names []string
}

func (d *blobDir) ReadDir(n int) ([]fs.DirEntry, error) {
	var all []fs.DirEntry
	for len(d.names) > 0 && (n <= 0 || len(all) < n) {
		fi, err := d.disk.Stat(path.Join(d.name, d.names[0]))
		d.names = d.names[1:]
		if err == nil {
			all = append(all, fs.FileInfoToDirEntry(fi))
		}
	}
	if n > 0 && len(all) == 0 {
		return nil, io.EOF
	}
	return all, nil
}

func (d *blobDir) Sync() error  { return d.dir.Sync() }
func (d *blobDir) Close() error { return d.dir.Close() }
