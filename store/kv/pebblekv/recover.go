package pebblekv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// recover reads the log from the place below which Pebble has everything, and
// gives apply all whole transactions from there on, with their references
// made good. It gives the place where the log ends: what is behind it was
// never durable. From there on nothing is left that a crash could take back.
func (l *bodyLog) recover(from place, apply func(batch []byte) error) (end place, err error) {
	heads, err := l.find()
	if err != nil {
		return 0, err
	}
	if from == 0 {
		if heads.first != 0 && heads.first != 1 {
			return 0, fmt.Errorf("the log begins with %s, and nothing tells of what was before", segmentName(heads.first))
		}
		from = at(1, segmentHead)
		if heads.last == 0 {
			return 0, l.nothingBehind(0, heads)
		}
	}
	if l.segments.get(from.segment()) == nil {
		return 0, fmt.Errorf("%s of the log is not there", segmentName(from.segment()))
	}
	if heads.last < from.segment() {
		return 0, damaged(at(from.segment(), 0), errNoHead)
	}
	// Before Pebble can make anything of it durable.
	if err := l.settle(heads.last); err != nil {
		return 0, err
	}
	for p := from; ; p = at(p.segment()+1, segmentHead) {
		if p.segment() == heads.last {
			if end, err = l.replayLast(p, apply); err != nil {
				return 0, err
			}
			break
		}
		next, err := l.readHead(p.segment() + 1)
		if err != nil {
			return 0, err
		}
		limit := at(p.segment(), next.previousEnd)
		if end, err = l.replay(p, limit, limit, apply); err != nil {
			return 0, err
		}
		if end != limit {
			return 0, damaged(end, fmt.Errorf("the segment should end at octet %d", limit.offset()))
		}
		l.segments.setEnd(end)
	}
	if err := l.nothingBehind(end, heads); err != nil {
		return 0, err
	}
	l.segments.setEnd(end)
	return end, l.cut(end)
}

// openLast opens the segment that the log ends in, to be synced.
func (l *bodyLog) openLast(number uint32) (vfs.File, error) {
	return l.segments.fs.OpenReadWrite(l.segments.path(number), vfs.WriteCategoryUnspecified)
}

// settle makes durable what there is of the last segment. What a process that
// was killed has written may be in the system's memory only.
func (l *bodyLog) settle(number uint32) error {
	f, err := l.openLast(number)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync log: %w", err), f.Close())
	}
	return f.Close()
}

// cut takes away what is behind the end of the log, where it can.
func (l *bodyLog) cut(end place) error {
	f, err := l.openLast(end.segment())
	if err != nil {
		return err
	}
	if fd := f.Fd(); fd != vfs.InvalidFd {
		err = unix.Ftruncate(int(fd), int64(end.offset()))
	}
	return errors.Join(err, f.Close())
}

// found is what segments there are.
type found struct {
	first, last uint32   // 0 if there are none
	unused      []uint32 // files behind the last whose head is not whole
}

// find enters the files of the log into the table.
func (l *bodyLog) find() (found, error) {
	var f found
	fs := l.segments.fs
	names, err := fs.List(l.segments.dir)
	if err != nil {
		return f, err
	}
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		info, err := fs.Stat(l.segments.path(number))
		if err != nil {
			return f, err
		}
		size := uint32(info.Size())
		l.segments.add(&segment{number: number, end: size, live: size})
	}
	numbers := l.segments.numbers()
	for i := len(numbers) - 1; i >= 0; i-- {
		if _, err := l.readHead(numbers[i]); err == nil {
			f.first, f.last = numbers[0], numbers[i]
			break
		} else if !errors.Is(err, errNoHead) {
			return f, err
		}
		f.unused = append(f.unused, numbers[i])
	}
	return f, nil
}

var errNoHead = errors.New("the head of the segment is not whole")

func (l *bodyLog) readHead(number uint32) (h segmentHeader, err error) {
	if l.segments.get(number) == nil {
		return h, fmt.Errorf("%s of the log is not there", segmentName(number))
	}
	w, err := l.segments.walk(at(number, 0))
	if err != nil {
		return h, err
	}
	defer w.close()
	b, err := w.octets(0, segmentHead)
	if err != nil {
		return h, err
	}
	h, ok := parseSegmentHeader(b)
	if !ok || h.number != number {
		return h, damaged(at(number, 0), errNoHead)
	}
	return h, nil
}

// replayLast goes through the last segment and gives the place where its
// records end. Only there can be records that are not whole, and those only
// behind what others know to be durable.
func (l *bodyLog) replayLast(from place, apply func([]byte) error) (end place, err error) {
	durable, err := l.knownDurable(from)
	if err != nil {
		return 0, err
	}
	return l.replay(from, at(from.segment()+1, 0), durable, apply)
}

// replay goes through the records of one segment, up to limit, and gives the
// place where they end. Those below durable must be whole.
func (l *bodyLog) replay(from, limit, durable place, apply func([]byte) error) (end place, err error) {
	w, err := l.segments.walk(from)
	if err != nil {
		return 0, err
	}
	defer w.close()
	w.limit = limit
	var batch []byte
	for {
		h, ok, err := w.header()
		if err != nil || !ok {
			return w.next, err
		}
		read, err := w.batch(h)
		if errors.Is(err, errBatchSum) {
			if h.place < durable {
				return 0, damaged(h.place, err)
			}
			return w.next, nil
		}
		if err != nil {
			return 0, err
		}
		batch = append(batch[:0], read...)
		if h.place >= durable {
			if whole, err := w.intact(h, batch); err != nil || !whole {
				return w.next, err
			}
		}
		values := h.place + place(recordHead+len(batch))
		err = storedValues(batch, h.values, func(v storedValue) error {
			movePlace(v.raw, values)
			return nil
		})
		if err == nil {
			err = apply(batch)
		}
		if err != nil {
			return 0, damaged(h.place, err)
		}
		w.skip(h)
	}
}

// knownDurable gives the place up to which the records from p on say that
// the log is durable.
func (l *bodyLog) knownDurable(p place) (place, error) {
	w, err := l.segments.walk(p)
	if err != nil {
		return 0, err
	}
	defer w.close()
	durable := p
	for {
		h, ok, err := w.header()
		if err != nil || !ok {
			return durable, err
		}
		durable = max(durable, h.durable)
		w.skip(h)
	}
}

// nothingBehind checks that no record behind the end says that the log was
// durable there: then what lies at the end is damaged, not unfinished. Files
// that were not begun are removed.
func (l *bodyLog) nothingBehind(end place, heads found) error {
	check := heads.unused
	if heads.last != 0 {
		check = append([]uint32{heads.last}, check...)
	}
	for _, number := range check {
		from := at(number, 0)
		if number == end.segment() {
			from = end
		}
		durable, err := l.searchDurable(from)
		if err != nil {
			return err
		}
		if durable > max(end, at(1, segmentHead)) {
			return damaged(end, fmt.Errorf("a record behind it says that the log was durable up to %v", durable))
		}
	}
	for _, number := range heads.unused {
		if err := l.segments.remove(number); err != nil {
			return err
		}
	}
	return nil
}

// searchDurable looks for heads of records anywhere behind from and gives the
// highest place that they know to be durable.
func (l *bodyLog) searchDurable(from place) (durable place, err error) {
	w, err := l.segments.walk(from)
	if err != nil {
		return 0, err
	}
	defer w.close()
	for offset := int64(from.offset()); ; {
		b, err := w.octets(offset, walkWindow)
		if err != nil || len(b) < recordHead {
			return durable, err
		}
		for i := 0; i+recordHead <= len(b); i++ {
			n := bytes.Index(b[i:], []byte(recordMagic))
			if n < 0 {
				break
			}
			i += n
			if h, ok := parseRecordHeader(b[i:], from-place(from.offset())+place(offset)+place(i)); ok {
				durable = max(durable, h.durable)
			}
		}
		offset += int64(len(b) - recordHead + 1)
	}
}
