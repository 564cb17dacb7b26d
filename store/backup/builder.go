package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
)

// A builder is the Sink of one partition: it makes its tree.
type builder struct {
	run     *run
	tree    *tree
	numbers map[packID]int
	leaf    leaf
	was     map[[16]byte]leafAt // of the last tree
	small   []knownBody         // that are known; those before next have been passed
	next    int
	large   map[blob.Sum]largeBody
	bodies  []knownBody // that the tree has
	missed  bool        // something is damaged or missing in the store
}

// startFrom keeps the numbers of the last tree's packs, and its leaves in mind.
func (b *builder) startFrom(last *tree) {
	if last == nil {
		return
	}
	b.was = make(map[[16]byte]leafAt, len(last.leaves))
	for _, l := range last.leaves {
		if !b.run.empty[l.at.pack] {
			b.was[l.sum] = l
		}
	}
	b.tree.packs = slices.Clone(last.packs)
	for i, id := range last.packs {
		if id != (packID{}) {
			b.numbers[id] = i
		}
	}
}

// number gives a pack its number in the tree.
func (b *builder) number(id packID) int {
	if n, ok := b.numbers[id]; ok {
		return n
	}
	n := len(b.tree.packs)
	b.tree.packs = append(b.tree.packs, id)
	b.numbers[id] = n
	return n
}

// add puts an object into a pack.
func (b *builder) add(kind int, content []byte, body *bodyKey) (ref, error) {
	var n *note
	if body != nil {
		n = &note{body: *body, of: uint64(b.tree.partition)}
	}
	return b.run.packer.add(kind, content, n)
}

func (b *builder) count(octets int) {
	b.tree.octets += uint64(octets)
	b.run.prog.Read.Add(int64(octets))
}

// Row implements Sink.
func (b *builder) Row(key, value []byte) error {
	b.tree.rows++
	b.count(len(key) + len(value))
	body, ok := bodyOf(b.tree.partition, key)
	if !ok {
		b.leaf.value(key, value)
		return b.endRow(key, len(key)+len(value))
	}
	seen := seenKey{body, len(value)}
	at, ok := b.run.met(seen)
	if !ok {
		var err error
		if at, err = b.add(dataPack, value, &body); err != nil {
			return err
		}
		b.run.meet(seen, at)
	}
	return b.bodyRow(key, body, at)
}

// KnownRow implements Sink.
func (b *builder) KnownRow(key []byte) error {
	body, ok := bodyOf(b.tree.partition, key)
	for ok && b.next < len(b.small) && b.small[b.next].key.compare(body) < 0 {
		b.next++
	}
	if !ok || b.next == len(b.small) || b.small[b.next].key != body {
		return fmt.Errorf("row %x is not known", key)
	}
	at := b.small[b.next].at
	b.tree.rows++
	b.tree.octets += uint64(len(key)) + uint64(at.length)
	return b.bodyRow(key, body, at)
}

func (b *builder) bodyRow(key []byte, body bodyKey, at ref) error {
	b.leaf.reference(key, at, b.number(at.pack))
	b.bodies = append(b.bodies, knownBody{body, at})
	return b.endRow(key, len(key)+8)
}

func (b *builder) endRow(key []byte, size int) error {
	if !b.leaf.full(key, size) {
		return nil
	}
	return b.endLeaf()
}

// endLeaf puts a leaf into a pack, if the last tree has none like it.
func (b *builder) endLeaf() error {
	if b.leaf.rows == 0 {
		return nil
	}
	hash := sha256.Sum256(b.leaf.b)
	sum := [16]byte(hash[:])
	at, ok := b.was[sum]
	if !ok {
		where, err := b.add(metaPack, b.leaf.b, nil)
		if err != nil {
			return err
		}
		b.number(where.pack)
		at = leafAt{sum, where, uint64(b.leaf.rows), slices.Clone(b.leaf.uses)}
	}
	b.tree.leaves = append(b.tree.leaves, at)
	b.leaf.reset()
	return nil
}

// Large implements Sink.
func (b *builder) Large(sum blob.Sum, size mail.ByteCount, r io.Reader) error {
	l := largeBody{sum: sum}
	piece := make([]byte, min(pieceSize, max(1, int64(size))))
	hash := sha256.New()
	for l.size < size {
		n, err := io.ReadFull(r, piece)
		if err == io.ErrUnexpectedEOF {
			err = nil
		}
		if err != nil && !errors.Is(err, blob.ErrCorrupt) && err != io.EOF {
			return err
		}
		if err != nil || n == 0 {
			break
		}
		hash.Write(piece[:n])
		b.count(n)
		key := bodyKey{sum, largePiece | uint32(len(l.pieces))}
		if l.size += mail.ByteCount(n); l.size >= size {
			key.index |= lastPiece
			if blob.Sum(hash.Sum(nil)) != sum {
				break
			}
		}
		at, err := b.add(dataPack, piece[:n], &key)
		if err != nil {
			return err
		}
		b.number(at.pack)
		l.pieces = append(l.pieces, at)
	}
	if blob.Sum(hash.Sum(nil)) != sum {
		return b.Missing(sum)
	}
	b.tree.bodies = append(b.tree.bodies, l)
	return nil
}

// KnownLarge implements Sink.
func (b *builder) KnownLarge(sum blob.Sum) error {
	l, ok := b.large[sum]
	if !ok {
		return fmt.Errorf("body %v is not known", sum)
	}
	for _, at := range l.pieces {
		b.number(at.pack)
	}
	b.tree.octets += uint64(l.size)
	b.tree.bodies = append(b.tree.bodies, l)
	return nil
}

// Missing implements Sink.
func (b *builder) Missing(sum blob.Sum) error {
	b.miss(fmt.Sprintf("body %v", sum))
	return nil
}

// LostRow implements Sink.
func (b *builder) LostRow(key []byte) error {
	if body, ok := bodyOf(b.tree.partition, key); ok {
		return b.Missing(body.sum)
	}
	b.miss(fmt.Sprintf("row %x", key))
	return nil
}

// miss notes what the snapshot lacks.
func (b *builder) miss(what string) {
	b.missed = true
	if id, account := keys.AccountOf(b.tree.partition); account {
		what += fmt.Sprintf(" of account %v", id)
	} else {
		what += fmt.Sprintf(" of partition %x", uint64(b.tree.partition))
	}
	b.run.mu.Lock()
	defer b.run.mu.Unlock()
	if len(b.run.missing) < maxMissing {
		b.run.missing = append(b.run.missing, what)
	}
}

// finish writes the tree and adds it to the snapshot.
func (b *builder) finish() error {
	if err := b.endLeaf(); err != nil {
		return err
	}
	if b.tree.rows == 0 {
		return nil // it is gone
	}
	if b.missed {
		b.tree.version = "" // looked at again, and told again, by the next backup
	}
	b.tree.forget()
	at, err := b.add(metaPack, b.tree.encode(), nil)
	if err != nil {
		return err
	}
	b.run.need(b.tree, at)
	return b.run.remember(b.tree, at, b.bodies)
}
