// Package faults lets disks fail under a whole server: its tests run all rooms
// and doors in one process over a disk in memory that gets full, writes half
// of what it was given, fails to sync, or loses power, while package traffic
// is at the doors.
package faults

import (
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Disk is a file system in memory that can fail. It is the engine's vfs.FS;
// Blobs gives the same as the blob store wants it.
type Disk struct {
	*vfs.MemFS
	fault atomic.Pointer[Fault]
	used  atomic.Int64 // octets that are not free, of plenty
}

// plenty is the size of a disk, in octets.
const plenty = 1 << 40

// An Op is a kind of operation that changes the disk.
type Op int

// Operations.
const (
	OpMake  Op = iota // of a file or directory, or a name for one
	OpRoom            // made ahead for a file
	OpWrite           // to a file
	OpSync            // of a file or directory
	OpDrop            // of a name
)

// A Fault says what becomes of an operation on a file: nil lets it succeed. It
// is called by many at once.
type Fault func(op Op, name string) error

// errShort makes a write take half of what it was given and fail with ENOSPC.
type errShort struct{ error }

// Short is a write that a full disk cuts short.
var Short = errShort{syscall.ENOSPC}

// NewDisk gives an empty disk.
func NewDisk() *Disk { return &Disk{MemFS: vfs.NewCrashableMem()} }

// Fail lets operations fail from now on; nil mends the disk.
func (d *Disk) Fail(f Fault) {
	if f == nil {
		d.fault.Store(nil)
		return
	}
	d.fault.Store(&f)
}

// Cut gives the disk as a power cut would leave it now: of what was not synced
// each block and each name is there with so many percent.
func (d *Disk) Cut(rng *rand.Rand, percent int) *Disk {
	return &Disk{MemFS: d.MemFS.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

func (d *Disk) check(op Op, name string) error {
	if f := d.fault.Load(); f != nil {
		return (*f)(op, name)
	}
	return nil
}

// Full is what a disk does on which nothing is free: what has its place
// already can be written.
func Full(op Op, name string) error {
	switch {
	case op == OpMake, op == OpRoom, op == OpWrite && !strings.HasSuffix(name, ".log"):
		return syscall.ENOSPC
	}
	return nil
}

func (d *Disk) wrap(op Op, name string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := d.check(op, name); err != nil {
		return nil, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(OpMake, name, func() (vfs.File, error) { return d.MemFS.Create(name, c) })
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(OpMake, newname, func() (vfs.File, error) { return d.MemFS.ReuseForWrite(oldname, newname, c) })
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.MemFS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// OpenDir implements vfs.FS.
func (d *Disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.MemFS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name}, nil
}

// Link implements vfs.FS.
func (d *Disk) Link(oldname, newname string) error {
	if err := d.check(OpMake, newname); err != nil {
		return err
	}
	return d.MemFS.Link(oldname, newname)
}

// Rename implements vfs.FS.
func (d *Disk) Rename(oldname, newname string) error {
	if err := d.check(OpMake, newname); err != nil {
		return err
	}
	return d.MemFS.Rename(oldname, newname)
}

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	if err := d.check(OpDrop, name); err != nil {
		return err
	}
	return d.MemFS.Remove(name)
}

// SetFree makes the disk tell that so many octets are free. It tells of plenty
// without, also when it is full: programs find out late.
func (d *Disk) SetFree(octets int64) { d.used.Store(plenty - octets) }

func (d *Disk) free() int64 { return plenty - d.used.Load() }

// GetDiskUsage implements vfs.FS.
func (d *Disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(d.free()), TotalBytes: plenty, UsedBytes: uint64(d.used.Load())}, nil
}

// Unwrap implements vfs.FS.
func (d *Disk) Unwrap() vfs.FS { return d.MemFS }

// A diskFile is an open file.
type diskFile struct {
	vfs.File
	disk *Disk
	name string
}

func (f *diskFile) Write(p []byte) (int, error) {
	err := f.disk.check(OpWrite, f.name)
	if err == nil {
		return f.File.Write(p)
	}
	n := 0
	if _, short := err.(errShort); short {
		n, _ = f.File.Write(p[:len(p)/2])
		err = Short.error
	}
	return n, err
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.disk.check(OpWrite, f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *diskFile) Preallocate(off, n int64) error {
	if err := f.disk.check(OpRoom, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(off, n)
}

func (f *diskFile) Sync() error {
	if err := f.disk.check(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *diskFile) SyncData() error {
	if err := f.disk.check(OpSync, f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *diskFile) SyncTo(n int64) (bool, error) {
	if err := f.disk.check(OpSync, f.name); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

// isBlob tells whether a file is of the blob store.
func isBlob(name string) bool { return strings.HasPrefix(path.Clean(name), "/blobs") }

// isLog tells whether a file is of the engine's log.
func isLog(name string) bool { return strings.HasSuffix(name, ".log") }
