package backup

import (
	"encoding/binary"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

const treeFormat = 1

// pieceSize is what an object holds of a large body or of a file.
const pieceSize = frameSize

// A tree is all about one partition: its packs, its leaves in the order of
// their keys, and its large bodies in the order of their sums.
//
//	version, partition, rows, octets, text version
//	count, packs 16
//	count, leaves: sum 16, where, rows, count, packs that its rows lie in
//	count, bodies: sum 32, size, pieces
//
// The numbers of packs stay from one backup to the next, so that leaves stay
// what they are; those that are not used any more are zero.
type tree struct {
	partition kv.Partition
	version   string // as the source said; "" if it could not
	rows      uint64
	octets    uint64 // of keys, values and large bodies
	packs     []packID
	leaves    []leafAt
	bodies    []largeBody
}

// A leafAt is one leaf.
type leafAt struct {
	sum  [16]byte // of SHA-256
	at   ref
	rows uint64
	uses []uint32 // numbers of packs that its rows' values lie in
}

// A largeBody is a blob in pieces.
type largeBody struct {
	sum    blob.Sum
	size   mail.ByteCount
	pieces []ref
}

func (t *tree) encode() []byte {
	number := make(map[packID]int, len(t.packs))
	for i, id := range t.packs {
		number[id] = i
	}
	b := binary.AppendUvarint([]byte{treeFormat}, uint64(t.partition))
	b = binary.AppendUvarint(b, t.rows)
	b = binary.AppendUvarint(b, t.octets)
	b = appendText(b, t.version)
	b = binary.AppendUvarint(b, uint64(len(t.packs)))
	for _, id := range t.packs {
		b = append(b, id[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(t.leaves)))
	for _, l := range t.leaves {
		b = append(b, l.sum[:]...)
		b = l.at.appendTo(b, number[l.at.pack])
		b = binary.AppendUvarint(b, l.rows)
		b = binary.AppendUvarint(b, uint64(len(l.uses)))
		for _, u := range l.uses {
			b = binary.AppendUvarint(b, uint64(u))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.bodies)))
	for _, l := range t.bodies {
		b = append(b, l.sum[:]...)
		b = binary.AppendUvarint(b, uint64(l.size))
		b = appendPieces(b, l.pieces, number)
	}
	return b
}

func appendPieces(b []byte, pieces []ref, number map[packID]int) []byte {
	b = binary.AppendUvarint(b, uint64(len(pieces)))
	for _, at := range pieces {
		b = at.appendTo(b, number[at.pack])
	}
	return b
}

func decodeTree(b []byte) (*tree, error) {
	d := decoder{b: b}
	if d.byte() != treeFormat {
		return nil, damagedf("list of a partition")
	}
	t := &tree{partition: kv.Partition(d.uvarint()), rows: d.uvarint(), octets: d.uvarint(), version: d.text()}
	t.packs = make([]packID, d.count(len(packID{})))
	for i := range t.packs {
		d.fill(t.packs[i][:])
	}
	t.leaves = make([]leafAt, d.count(16+4+1+1))
	for i := range t.leaves {
		l := &t.leaves[i]
		d.fill(l.sum[:])
		l.at = d.ref(t.packs)
		l.rows = d.uvarint()
		l.uses = make([]uint32, d.count(1))
		for j := range l.uses {
			l.uses[j] = uint32(d.number(uint64(len(t.packs))))
		}
	}
	t.bodies = make([]largeBody, d.count(32+1+1))
	for i := range t.bodies {
		l := &t.bodies[i]
		d.fill(l.sum[:])
		l.size = mail.ByteCount(d.number(1 << 50))
		l.pieces = d.pieces(t.packs, uint64(l.size))
	}
	if d.bad || len(d.b) > 0 {
		return nil, damagedf("list of a partition")
	}
	return t, nil
}

// pieces reads where something of a size lies.
func (d *decoder) pieces(packs []packID, size uint64) []ref {
	pieces := make([]ref, d.count(4))
	total := uint64(0)
	for i := range pieces {
		pieces[i] = d.ref(packs)
		total += uint64(pieces[i].length)
	}
	if total != size {
		d.fail()
	}
	return pieces
}

// forget zeroes the packs that nothing lies in.
func (t *tree) forget() {
	used := make(map[packID]bool)
	for _, l := range t.leaves {
		used[l.at.pack] = true
		for _, u := range l.uses {
			used[t.packs[u]] = true
		}
	}
	for _, l := range t.bodies {
		for _, at := range l.pieces {
			used[at.pack] = true
		}
	}
	for i, id := range t.packs {
		if !used[id] {
			t.packs[i] = packID{}
		}
	}
	for len(t.packs) > 0 && t.packs[len(t.packs)-1] == (packID{}) {
		t.packs = t.packs[:len(t.packs)-1]
	}
}
