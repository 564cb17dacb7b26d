package pebblekv

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"waxwing/store/kv"
)

// Damage is the error when octets of the log are not what was written there:
// the disk, or somebody, has changed them.
type Damage struct {
	File      string // segment, in the store's folder "log"
	Offset    int64  // in the file
	Partition kv.Partition
	Key       []byte // of the value, in the partition; nil if it is a record
	Err       error
}

func (d *Damage) Error() string {
	if d.Key == nil {
		return fmt.Sprintf("log is damaged: record at octet %d of %s: %v", d.Offset, d.File, d.Err)
	}
	return fmt.Sprintf("log is damaged: value of key %x in partition %#x, at octet %d of %s: %v",
		d.Key, uint64(d.Partition), d.Offset, d.File, d.Err)
}

func (d *Damage) Unwrap() error { return d.Err }

// Is tells that a damaged value is a kv.ErrDamaged, but not one that could not
// be read for reasons that pass.
func (d *Damage) Is(target error) bool {
	return target == kv.ErrDamaged && d.Key != nil &&
		(errors.Is(d.Err, errChecksum) || errors.Is(d.Err, io.EOF) || errors.Is(d.Err, io.ErrUnexpectedEOF) || errors.Is(d.Err, syscall.EIO))
}

// damaged makes the error for a record.
func damaged(p place, err error) error {
	return &Damage{File: segmentName(p.segment()), Offset: int64(p.offset()), Err: err}
}
