package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Source is a store that is backed up: the one that is open here, or that of
// a running server.
type Source interface {
	// Partitions lists the partitions with their versions.
	Partitions(ctx context.Context) iter.Seq2[Versioned, error]

	// Read gives one snapshot of a partition to a Sink, without what is known.
	Read(ctx context.Context, p kv.Partition, known Known, to Sink) error
}

// Versioned is a partition as it stands. Of two that are equal and not "", the
// later one has nothing new.
type Versioned struct {
	Partition kv.Partition `json:"partition"`
	Version   string       `json:"version,omitempty"`
}

// A Sink takes what a partition holds: its rows in the order of their keys,
// then its large bodies in the order of their sums. What it is given is the
// caller's again when it returns.
type Sink interface {
	Row(key, value []byte) error
	KnownRow(key []byte) error
	Large(sum blob.Sum, size mail.ByteCount, r io.Reader) error
	KnownLarge(sum blob.Sum) error
	Missing(sum blob.Sum) error // a large body that is named and not there
	LostRow(key []byte) error   // in the place of a row that cannot be read any longer
}

// Known names bodies that need not be read, in records of knownSize: the first
// octets of the sum, and the index. They are in order.
type Known []byte

const (
	knownSum  = 16
	knownSize = knownSum + 4
)

func (k Known) add(b bodyKey) Known {
	return binary.BigEndian.AppendUint32(append(k, b.sum[:knownSum]...), b.index)
}

func (k Known) has(b bodyKey) bool {
	var want [knownSize]byte
	copy(want[:], b.sum[:knownSum])
	binary.BigEndian.PutUint32(want[knownSum:], b.index)
	n := len(k) / knownSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(k[i*knownSize:][:knownSize], want[:]) >= 0 })
	return i < n && bytes.Equal(k[i*knownSize:][:knownSize], want[:])
}

// Local is the Source of a store that is open in this process.
type Local struct {
	DB    kv.Store
	Blobs blob.Store

	// Versions gives the versions of partitions, as Versioned has them. May be nil.
	Versions func(ctx context.Context, list []kv.Partition) ([]string, error)

	// Hold keeps an owner's blobs from being deleted until release. May be
	// nil where nobody else has the store open.
	Hold func(owner mail.AccountID) (release func(context.Context) error)

	// Pace gives for the reading of one partition what is called after so
	// many octets have been read, and may wait. May be nil.
	Pace func() func(ctx context.Context, octets int) error
}

// Partitions implements Source.
func (l *Local) Partitions(ctx context.Context) iter.Seq2[Versioned, error] {
	return func(yield func(Versioned, error) bool) {
		var page []kv.Partition
		give := func() bool {
			list, err := l.versioned(ctx, page)
			page = page[:0]
			if err != nil {
				yield(Versioned{}, err)
				return false
			}
			for _, v := range list {
				if !yield(v, nil) {
					return false
				}
			}
			return true
		}
		for p, err := range l.DB.Partitions(ctx, 0) {
			if err != nil {
				yield(Versioned{}, err)
				return
			}
			if isLocal(p) {
				continue
			}
			if page = append(page, p); len(page) == partitionPage && !give() {
				return
			}
		}
		if len(page) > 0 {
			give()
		}
	}
}

// partitionPage is how many versions are asked for at once.
const partitionPage = 1000

func (l *Local) versioned(ctx context.Context, page []kv.Partition) ([]Versioned, error) {
	list := make([]Versioned, len(page))
	for i, p := range page {
		list[i].Partition = p
	}
	if l.Versions == nil {
		return list, nil
	}
	texts, err := l.Versions(ctx, page)
	if err != nil {
		return nil, fmt.Errorf("versions of partitions: %w", err)
	}
	for i, text := range texts {
		list[i].Version = text
	}
	return list, nil
}

// isLocal tells whether a partition says where and how a store is kept, which
// is not the same where it is restored, or holds what can be made anew.
func isLocal(p kv.Partition) bool { return p == keys.Common || p == keys.Restoring || keys.IsIndex(p) }

// Read implements Source.
func (l *Local) Read(ctx context.Context, p kv.Partition, known Known, to Sink) (err error) {
	if l.Hold != nil {
		release := l.Hold(owner(p))
		defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()
	}
	s := scan{l: l, ctx: ctx, p: p, known: known, to: to, lost: make(map[string]bool)}
	if l.Pace != nil {
		s.wait = l.Pace()
	}
	err = l.DB.View(ctx, p, func(r kv.Reader) error {
		s.r = r
		// One message that the disk has lost must not keep all others out of the backup.
		kv.Spare(r, func(key []byte, _ error) { s.lost[string(key)] = true })
		return s.rows()
	})
	if err != nil {
		return fmt.Errorf("read partition %x: %w", uint64(p), err)
	}
	if err := s.bodies(); err != nil {
		return fmt.Errorf("read bodies of partition %x: %w", uint64(p), err)
	}
	return nil
}

// A scan is one partition being read.
type scan struct {
	l     *Local
	ctx   context.Context
	p     kv.Partition
	r     kv.Reader
	known Known
	to    Sink
	large []namedBody
	read  int                              // since the last wait
	wait  func(context.Context, int) error // nil if there is no hurry to avoid
	lost  map[string]bool                  // keys of rows that cannot be read
}

// row gives a row that has been read.
func (s *scan) row(key, value []byte) error {
	if s.lost[string(key)] {
		return s.to.LostRow(key)
	}
	return s.to.Row(key, value)
}

// A namedBody is one that a row names. It must be there unless it is inline,
// or about to be deleted.
type namedBody struct {
	sum  blob.Sum
	must bool
}

const paceEvery = 256 << 10

func (s *scan) pace(n int) error {
	if s.read += n; s.read < paceEvery || s.wait == nil {
		return nil
	}
	n, s.read = s.read, 0
	return s.wait(s.ctx, n)
}

// rows reads the rows. Where bodies are known, only the keys of that region
// are read first.
func (s *scan) rows() error {
	if _, account := keys.AccountOf(s.p); !account || len(s.known) == 0 {
		if err := s.span(nil, nil); err != nil {
			return err
		}
		return s.inline()
	}
	lo, hi := []byte{keys.Body}, []byte{keys.Body + 1}
	for _, step := range []func() error{
		func() error { return s.span(nil, lo) },
		func() error { return s.newBodies(lo, hi) },
		func() error { return s.span(hi, nil) },
		s.inline,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) span(lo, hi []byte) error {
	for it, err := range s.r.Scan(lo, hi, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if sum, ok := namesLarge(s.p, it.Key); ok {
			s.large = append(s.large, namedBody{sum, it.Key[0] != keys.Release})
		}
		if err := s.row(it.Key, it.Value); err != nil {
			return err
		}
		if err := s.pace(len(it.Key) + len(it.Value)); err != nil {
			return err
		}
	}
	return nil
}

// bodyKeys and bodyRows are how many keys of bodies are read at once, and
// how many values.
const (
	bodyKeys = 4096
	bodyRows = 32
)

// newBodies reads the bodies that are not known.
func (s *scan) newBodies(lo, hi []byte) error {
	for {
		var page [][]byte
		for it, err := range s.r.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: bodyKeys}) {
			if err != nil {
				return err
			}
			page = append(page, bytes.Clone(it.Key))
		}
		for rest := page; len(rest) > 0; {
			n := 0
			for n < len(rest) && s.knows(rest[n]) == s.knows(rest[0]) {
				n++
			}
			if err := s.bodyPart(rest[:n], s.knows(rest[0])); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if len(page) < bodyKeys {
			return nil
		}
		lo = append(page[len(page)-1], 0)
	}
}

func (s *scan) knows(key []byte) bool {
	b, ok := bodyOf(s.p, key)
	return ok && s.known.has(b)
}

// bodyPart gives rows that follow each other and are all known, or all new.
func (s *scan) bodyPart(list [][]byte, known bool) error {
	if known {
		for _, key := range list {
			if err := s.to.KnownRow(key); err != nil {
				return err
			}
		}
		return s.pace(34 * len(list))
	}
	for part := range slices.Chunk(list, bodyRows) {
		got, err := s.r.GetMany(part)
		if err != nil {
			return err
		}
		for i, value := range got {
			if value == nil {
				return fmt.Errorf("row %x: %w", part[i], kv.ErrNotFound) // in one snapshot
			}
			if err := s.row(part[i], value); err != nil {
				return err
			}
			if err := s.pace(len(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// inline finds out which of the named bodies lie in the engine: references
// are also counted of small ones that several messages share.
func (s *scan) inline() error {
	slices.SortFunc(s.large, func(a, b namedBody) int { return bytes.Compare(a.sum[:], b.sum[:]) })
	if _, account := keys.AccountOf(s.p); !account {
		return nil
	}
	kept := s.large[:0]
	for part := range slices.Chunk(s.large, 256) {
		want := make([][]byte, len(part))
		for i, b := range part {
			want[i] = append(append([]byte{keys.Body}, b.sum[:]...), 0)
		}
		got, err := s.r.GetMany(want)
		if err != nil {
			return err
		}
		for i, b := range part {
			if got[i] == nil {
				kept = append(kept, b)
			}
		}
	}
	s.large = kept
	return nil
}

// bodies gives the large bodies.
func (s *scan) bodies() error {
	for i, b := range s.large {
		if i+1 < len(s.large) && s.large[i+1].sum == b.sum { // named twice
			s.large[i+1].must = b.must || s.large[i+1].must
			continue
		}
		if s.known.has(bodyKey{b.sum, largePiece}) {
			if err := s.to.KnownLarge(b.sum); err != nil {
				return err
			}
			continue
		}
		err := s.body(b)
		if errors.Is(err, blob.ErrNotFound) {
			err = nil
			if b.must {
				err = s.to.Missing(b.sum)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) body(named namedBody) error {
	b, err := s.l.Blobs.Open(s.ctx, blob.Key{Owner: owner(s.p), Sum: named.sum})
	if err != nil {
		return err
	}
	defer b.Close()
	if !named.must && errors.Is(blob.Prove(b), blob.ErrCorrupt) {
		return nil // nobody misses what is damaged and about to be deleted
	}
	return s.to.Large(named.sum, b.Size(), &pacedReader{b, s})
}

// A pacedReader counts what is read for the pace.
type pacedReader struct {
	r io.Reader
	s *scan
}

func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if e := p.s.pace(n); e != nil {
		return n, e
	}
	return n, err
}

// Reader gives the records as they go to another process.
func (k Known) Reader() io.Reader { return bytes.NewReader(k) }
