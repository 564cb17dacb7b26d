package pebblekv

import (
	"fmt"

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

// damaged makes the error for a record.
func damaged(p place, err error) error {
	return &Damage{File: segmentName(p.segment()), Offset: int64(p.offset()), Err: err}
}
