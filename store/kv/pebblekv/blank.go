package pebblekv

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Room that was only set aside has to be entered in the file system's own tables
// when it is written to for the first time, and a sync waits for that, too: for
// one small group that takes half as long again. So while groups are small the
// room in front of the log is written with zeros, which nobody waits for. Large
// groups would gain little, and each octet is written twice.

const (
	// smallGroup is how many octets the groups of late have at most, on average,
	// for which room is blanked.
	smallGroup = 72 << 10
	// blankPiece is how much is blanked at once: who syncs meanwhile waits for it,
	// too. So much is blank in front of the log, as a rule.
	blankPiece = 256 << 10
	// blankUnit is what a file system writes at least.
	blankUnit = 4 << 10
	// groupsOfLate is how many groups the average is of, about.
	groupsOfLate = 8
)

// blanks is what rooms knows of zeros in front of the log. Its fields are guarded
// by the mutex of rooms, but for file, which belongs to run.
type blanks struct {
	useless bool  // the file system does not gain by it
	group   int64 // octets of a group, on average
	to      place // up to where there are zeros
	busy    place // if not 0, from where on zeros are being written just now

	file   vfs.File // of the segment with this number; nil without
	number uint32
}

// zeros are one piece.
var zeros [blankPiece]byte

// gainsByBlanks tells whether zeros help: on file systems that overwrite in place.
func gainsByBlanks(f vfs.File) bool {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return true // in memory, for tests
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(fd), &s); err != nil {
		return false
	}
	return s.Type == unix.EXT4_SUPER_MAGIC || s.Type == unix.XFS_SUPER_MAGIC
}

// wrote is told of each group that has been written.
func (r *rooms) wrote(octets int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blanks.group += (octets - r.blanks.group) / groupsOfLate
}

// thin gives the place from where on a piece is to be blanked now, or 0. It keeps
// a distance to the log, so that nobody comes there meanwhile, as a rule.
func (r *rooms) thin() place {
	b := &r.blanks
	number, next := r.next.segment(), int64(r.next.offset())
	if b.useless || b.group > smallGroup || r.of[number] == nil {
		return 0
	}
	from := (next + blankPiece/2 + blankUnit - 1) / blankUnit * blankUnit
	if b.to.segment() == number && int64(b.to.offset()) > next {
		from = int64(b.to.offset())
	}
	if from-next > blankPiece || from+blankPiece > r.of[number].limit {
		return 0
	}
	return at(number, uint32(from))
}

// blank writes a piece of zeros. The caller holds the mutex, which is free
// meanwhile; nobody is given a place in the piece before it is written.
func (r *rooms) blank(from place) {
	b := &r.blanks
	b.busy = from
	r.mu.Unlock()
	useless, err := r.writeBlank(from)
	r.mu.Lock()
	b.busy, b.to = 0, from+blankPiece
	b.useless = useless || err != nil
	r.change.Broadcast()
	if b.useless {
		r.mu.Unlock()
		r.tell(err)
		r.mu.Lock()
		return
	}
	r.mu.Unlock()
	err = b.file.SyncData()
	r.tell(err)
	r.mu.Lock()
	b.useless = err != nil
}

// tell tells of a disk that has failed under the log, though it was with zeros: it
// is the file of the log.
func (r *rooms) tell(err error) {
	if err != nil {
		r.failed(fmt.Errorf("write ahead in the log: %w", err))
	}
}

// writeBlank writes a piece of zeros, unless that is useless.
func (r *rooms) writeBlank(from place) (useless bool, err error) {
	if err := r.openBlank(from.segment()); err != nil {
		return true, nil
	}
	_, err = r.blanks.file.WriteAt(zeros[:], int64(from.offset()))
	if errors.Is(err, unix.ENOSPC) { // the file system sets no room aside
		return true, nil
	}
	return false, err
}

// openBlank opens the file of a segment, to write zeros to it. A sync that fails
// is told once to each handle, so that of the log hears of it too.
func (r *rooms) openBlank(number uint32) (err error) {
	b := &r.blanks
	if b.file != nil && b.number == number {
		return nil
	}
	r.closeBlank()
	b.file, err = r.fs.OpenReadWrite(r.fs.PathJoin(r.dir, segmentName(number)), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.file = nil
		return err
	}
	b.number = number
	if !gainsByBlanks(b.file) {
		return errors.ErrUnsupported
	}
	return nil
}

func (r *rooms) closeBlank() {
	if f := r.blanks.file; f != nil {
		r.blanks.file = nil
		_ = f.Close() // all that matters has been synced
	}
}
