package search

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"waxwing/format/abstract"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

const (
	// minBatch is how many emails are worth a segment. Fewer are searched as
	// fast as they would be found.
	minBatch = 64
	// maxDocs bounds a segment; maxBuilt one that is built from messages, in
	// 8 MiB of memory.
	maxDocs  = 4096
	maxBuilt = 1024
	// readAtOnce is how many messages are read in one round trip.
	readAtOnce = 32
	// writeAtOnce is how many octets one transaction writes.
	writeAtOnce = 1 << 20
)

// errOvertaken says that another node builds the account's index.
var errOvertaken = errors.New("another node is building the index")

// A builder makes one segment.
type builder struct {
	a       *Account
	segment segment
	tables  []*gramTable // of 64 emails each
	write   writer
	pace    Pace
}

var gramTables = sync.Pool{New: func() any { return new(gramTable) }}

// table gives that of the email at a place.
func (b *builder) table(place int) *gramTable {
	for place/64 >= len(b.tables) {
		t := gramTables.Get().(*gramTable)
		clear(t[:])
		b.tables = append(b.tables, t)
	}
	return b.tables[place/64]
}

func (b *builder) release() {
	for _, t := range b.tables {
		gramTables.Put(t)
	}
}

// A writer collects rows and writes them in transactions of a fit size. All
// are durable once the last one is that follows them in the partition.
type writer struct {
	db     kv.Store
	part   kv.Partition
	rows   []kv.Item
	octets int
}

func (w *writer) put(ctx context.Context, key, value []byte) error {
	w.rows = append(w.rows, kv.Item{Key: key, Value: append([]byte(nil), value...)})
	if w.octets += len(key) + len(value); w.octets < writeAtOnce && len(w.rows) < 4000 {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.rows) == 0 {
		return nil
	}
	_, err := w.db.Update(ctx, w.part, func(tx kv.Txn) error {
		for _, row := range w.rows {
			tx.Put(row.Key, row.Value)
		}
		return nil
	})
	w.rows, w.octets = w.rows[:0], 0
	return err
}

// build indexes what has come since, up to a segment's worth. It tells how
// many emails that was.
func (a *Account) build(ctx context.Context, s *state) (int, error) {
	ids, err := a.mail.Emails(ctx, s.through+1, maxBuilt)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	ref, err := a.segment(ctx, ids)
	if err != nil {
		return 0, err
	}
	next := *s
	next.through = ids[len(ids)-1]
	sum, _, err := a.mail.Sum(ctx, next.through)
	if err != nil {
		return 0, err
	}
	next.sum = sum
	next.segments = append(slices.Clone(s.segments), ref)
	return ref.docs, a.replace(ctx, s, &next, nil)
}

// segment makes a segment of maxBuilt emails at most.
func (a *Account) segment(ctx context.Context, ids []mail.EmailID) (segmentRef, error) {
	b := &builder{a: a, segment: segment{id: randomID()}, write: writer{db: a.x.db, part: a.part}, pace: a.x.Pace()}
	defer b.release()
	for len(ids) > 0 {
		n, err := b.addSome(ctx, ids[:min(len(ids), readAtOnce)])
		if err == nil {
			err = b.pace.Yield(ctx)
		}
		if err != nil {
			return segmentRef{}, err
		}
		ids = ids[n:]
	}
	return segmentRef{b.segment.id, len(b.segment.emails)}, b.finish(ctx)
}

func randomID() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// addSome indexes the first of some emails, and tells how many.
func (b *builder) addSome(ctx context.Context, ids []mail.EmailID) (int, error) {
	read, err := b.a.mail.ReadWhole(ctx, ids)
	if err != nil {
		return 0, err
	}
	defer read.Release()
	for i := range read.List {
		if err := b.add(ctx, ids[i], &read.List[i]); err != nil {
			return 0, err
		}
	}
	return len(read.List), nil
}

// add indexes one email.
func (b *builder) add(ctx context.Context, id mail.EmailID, w *mailbox.Whole) error {
	place := len(b.segment.emails)
	b.segment.emails = append(b.segment.emails, id)
	if w.Facts == nil {
		if w.Err != nil {
			b.segment.wild = append(b.segment.wild, uint16(place))
		}
		return nil
	}
	if err := b.write.put(ctx, abstractKey(id), abstract.Make(w.Message)); err != nil {
		return err
	}
	grams := gramSet{table: b.table(place), email: 1 << (place % 64)}
	if err := b.read(ctx, id, w, &grams); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.segment.wild = append(b.segment.wild, uint16(place)) // who searches it meets the trouble
		return nil
	}
	return nil
}

// read goes through the text of an email. A panic, which is a bug of ours, is a
// text that cannot be read: what a stranger has sent shall not end the program,
// and not again at each of its starts.
func (b *builder) read(ctx context.Context, id mail.EmailID, w *mailbox.Whole, grams *gramSet) (err error) {
	defer func() {
		if r := recover(); r != nil {
			b.a.x.log.Error("panic in the search index", obs.Account, b.a.id, "email", id, obs.Err, fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	var body io.ReaderAt = wholeText(w.Text)
	var header []byte
	if w.Text == nil {
		open, err := b.a.mail.OpenMessage(ctx, id)
		if errors.Is(err, mailbox.ErrNoMessage) {
			return nil
		}
		if err != nil {
			return err
		}
		defer open.Close() //nolint:errcheck // it was only read
		body = stopping{ctx, open}
		header = make([]byte, min(w.Message.Root.Body, abstract.MaxHeader))
		if _, err := open.ReadAt(header, 0); err != nil && err != io.EOF {
			return err
		}
	} else {
		header = w.Text[:min(w.Message.Root.Body, int64(len(w.Text)), abstract.MaxHeader)]
	}
	abstract.Header(message.ParseHeader(header), grams)
	return abstract.Body(body, &w.Message.Root, grams)
}

// errPanic says that something is wrong with us.
var errPanic = errors.New("panic in the search index")

// A wholeText is a message in memory.
type wholeText []byte

func (t wholeText) Bytes() []byte { return t }

func (t wholeText) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(t)) {
		return 0, io.EOF
	}
	n := copy(p, t[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// stopping is a large message whose reading ends with the context.
type stopping struct {
	ctx context.Context
	io.ReaderAt
}

func (s stopping) ReadAt(p []byte, off int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.ReaderAt.ReadAt(p, off)
}

// finish writes the postings and the list of emails.
func (b *builder) finish(ctx context.Context) error {
	w := blockWriter{docs: len(b.segment.emails), emit: func(first gram, block []byte) error {
		b.segment.blocks = append(b.segment.blocks, first)
		return b.write.put(ctx, postingsKey(b.segment.id, first), block)
	}}
	list := make([]uint16, 0, w.docs)
	for g := range allGrams {
		list = list[:0]
		for k, t := range b.tables {
			for some := t[g]; some != 0; some &= some - 1 {
				list = append(list, uint16(k*64+bits.TrailingZeros64(some)))
			}
		}
		if len(list) == 0 {
			continue
		}
		if err := w.put(gram(g), list); err != nil {
			return err
		}
		if g%1024 == 0 {
			if err := b.pace.Yield(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := b.write.put(ctx, emailsKey(b.segment.id), b.segment.encode()); err != nil {
		return err
	}
	return b.write.flush(ctx)
}

// replace makes next the state, if nobody has changed it meanwhile, and
// removes the segments that it names no longer. s becomes next.
func (a *Account) replace(ctx context.Context, s, next *state, gone []uint64) error {
	was := s.encode()
	if len(s.segments) == 0 && s.through == 0 && s.pruned == 0 {
		was = nil
	}
	err := kv.Apply(ctx, a.x.db, a.part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{stateKey, leaseKey})
		if err != nil {
			return err
		}
		if string(got[0]) != string(was) || decodeLease(got[1]).holder != a.x.holder {
			return errOvertaken
		}
		tx.Put(stateKey, next.encode())
		for _, id := range gone {
			tx.DeleteRange(postingsKey(id, 0), append(postingsKey(id, allGrams-1), 0))
			tx.Delete(emailsKey(id))
		}
		return nil
	})
	if err == nil {
		*s = *next
	}
	return err
}

// A lease is the row of who builds an account's index.
//
//	version, holder u64, until i64 (seconds)
type lease struct {
	holder uint64
	until  int64
}

const leaseFor = 10 * time.Minute

func (l lease) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{leaseFormat}, l.holder)
	return binary.BigEndian.AppendUint64(b, uint64(l.until))
}

// decodeLease reads a lease; what is none nobody has.
func decodeLease(b []byte) lease {
	if len(b) != 17 || b[0] != leaseFormat {
		return lease{}
	}
	return lease{binary.BigEndian.Uint64(b[1:]), int64(binary.BigEndian.Uint64(b[9:]))}
}

// claim takes the lease, or more time; first tells that it was not ours.
func (a *Account) claim(ctx context.Context, now time.Time) (mine, first bool, err error) {
	err = kv.Apply(ctx, a.x.db, a.part, func(tx kv.Txn) error {
		mine, first = false, false
		got, err := tx.GetMany([][]byte{leaseKey})
		if err != nil {
			return err
		}
		l := decodeLease(got[0])
		if l.holder != a.x.holder && l.until > now.Unix() {
			return nil
		}
		mine, first = true, l.holder != a.x.holder
		tx.Put(leaseKey, lease{a.x.holder, now.Add(leaseFor).Unix()}.encode())
		return nil
	})
	return mine, first, err
}

// release gives the lease back.
func (a *Account) release(ctx context.Context) error {
	return kv.Apply(ctx, a.x.db, a.part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{leaseKey})
		if err != nil {
			return err
		}
		if decodeLease(got[0]).holder == a.x.holder {
			tx.Put(leaseKey, lease{a.x.holder, 0}.encode())
		}
		return nil
	})
}

// sweep removes segments that the state does not name: those of a builder that
// has died.
func (a *Account) sweep(ctx context.Context, s *state) error {
	named := make(map[uint64]bool, len(s.segments))
	for _, ref := range s.segments {
		named[ref.id] = true
	}
	var gone [][2][]byte
	err := a.x.db.View(ctx, a.part, func(r kv.Reader) error {
		gone = gone[:0]
		for _, prefix := range [...]byte{keys.IndexPostings, keys.IndexEmails} {
			lo := []byte{prefix}
			for lo != nil {
				key, err := firstKey(r, lo, prefix)
				if err != nil {
					return err
				}
				if len(key) < 9 {
					break
				}
				hi := kv.PrefixEnd(key[:9])
				if !named[binary.BigEndian.Uint64(key[1:])] {
					gone = append(gone, [2][]byte{key[:9], hi})
				}
				lo = hi
			}
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	return kv.Apply(ctx, a.x.db, a.part, func(tx kv.Txn) error {
		for _, g := range gone {
			tx.DeleteRange(g[0], g[1])
		}
		return nil
	})
}

func firstKey(r kv.Reader, lo []byte, prefix byte) ([]byte, error) {
	for it, err := range r.Scan(lo, []byte{prefix + 1}, kv.ScanOptions{Limit: 1, KeysOnly: true}) {
		return append([]byte(nil), it.Key...), err
	}
	return nil, nil
}
