package pebblekv

import (
	"bytes"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A walker goes through the records of one segment.
type walker struct {
	file   vfs.File
	next   place  // of the record that is read next
	limit  place  // where there are no more records
	window []byte // octets of the file
	from   int64  // where they begin
	room   []byte
}

// walkWindow is how much of a file is read at once.
const walkWindow = 64 << 10

// walk begins at p, which is the place of a record or the end of them.
func (ss *segments) walk(p place) (*walker, error) {
	f, err := ss.fs.Open(ss.path(p.segment()))
	if err != nil {
		return nil, err
	}
	return &walker{file: f, next: p, limit: at(p.segment()+1, 0), room: make([]byte, walkWindow)}, nil
}

func (w *walker) close() { w.file.Close() }

// octets gives n octets from offset, until the next call; fewer only at the
// end of the file.
func (w *walker) octets(offset int64, n int) ([]byte, error) {
	if offset < w.from || offset+int64(n) > w.from+int64(len(w.window)) {
		if n > len(w.room) {
			w.room = make([]byte, n)
		}
		got, err := w.file.ReadAt(w.room, offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		w.window, w.from = w.room[:got], offset
	}
	b := w.window[offset-w.from:]
	return b[:min(n, len(b))], nil
}

// header reads the head of the next record; ok is false if there is none.
func (w *walker) header() (h recordHeader, ok bool, err error) {
	if w.next >= w.limit {
		return h, false, nil
	}
	b, err := w.octets(int64(w.next.offset()), recordHead)
	if err != nil {
		return h, false, err
	}
	h, ok = parseRecordHeader(b, w.next)
	return h, ok, nil
}

var errBatchSum = errors.New("the checksum of the batch is wrong")

// batch reads the batch of a record, until the next call.
func (w *walker) batch(h recordHeader) ([]byte, error) {
	b, err := w.octets(int64(h.place.offset())+recordHead, int(h.batch))
	if err != nil {
		return nil, err
	}
	if len(b) < int(h.batch) || checksum(b) != h.batchSum {
		return nil, errBatchSum
	}
	return b, nil
}

// seek goes to the first record at p or behind it; false if there is none near.
func (w *walker) seek(p place) bool {
	b, err := w.octets(int64(p.offset()), walkWindow)
	if err != nil {
		return false
	}
	for i := 0; i+recordHead <= len(b); i++ {
		n := bytes.Index(b[i:], []byte(recordMagic))
		if n < 0 {
			return false
		}
		i += n
		if _, ok := parseRecordHeader(b[i:], p+place(i)); ok {
			w.next = p + place(i)
			return true
		}
	}
	return false
}

// skip goes on behind the record.
func (w *walker) skip(h recordHeader) { w.next = h.place + place(h.length()) }

// intact tells whether all values of a record are what they were. The batch
// is a copy.
func (w *walker) intact(h recordHeader, batch []byte) (bool, error) {
	intact := true
	first := int64(h.place.offset()) + recordHead + int64(h.batch)
	err := storedValues(batch, h.values, func(v storedValue) error {
		b, err := w.octets(first+int64(v.ref.place), int(v.ref.length))
		if err != nil {
			return err
		}
		intact = intact && len(b) == int(v.ref.length) && checksum(b) == v.ref.sum
		return nil
	})
	return intact, err
}
