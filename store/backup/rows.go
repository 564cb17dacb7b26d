package backup

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Leaves: leafTarget is their usual size, and maxLeaf the most but for one row.
const (
	leafTarget = 32 << 10
	maxLeaf    = 256 << 10
)

const leafFormat = 1

// A bodyKey names octets that never change: a value of a body in an account's
// partition (store/mailbox), or a piece of a large body.
type bodyKey struct {
	sum   blob.Sum
	index uint32 // chunk of a value, or piece and largePiece
}

// largePiece tells pieces of large bodies from chunks of small ones; lastPiece
// marks the last of them.
const (
	largePiece = 1 << 31
	lastPiece  = 1 << 30
)

func (k bodyKey) compare(o bodyKey) int {
	if c := bytes.Compare(k.sum[:], o.sum[:]); c != 0 {
		return c
	}
	return int(int64(k.index) - int64(o.index))
}

// bodyOf tells whether a row is a chunk of a body, whose key says what it
// holds, and which.
func bodyOf(p kv.Partition, key []byte) (bodyKey, bool) {
	if _, account := keys.AccountOf(p); !account || len(key) != 34 || key[0] != keys.Body {
		return bodyKey{}, false
	}
	return bodyKey{blob.Sum(key[1:33]), uint32(key[33])}, true
}

// namesLarge tells whether a row may name a large body: by its reference
// count, by the mark that it is to be deleted, or as that of a queue's item.
func namesLarge(p kv.Partition, key []byte) (blob.Sum, bool) {
	if len(key) != 33 {
		return blob.Sum{}, false
	}
	if _, account := keys.AccountOf(p); account {
		return blob.Sum(key[1:]), key[0] == keys.Refs || key[0] == keys.Release
	}
	return blob.Sum(key[1:]), key[0] == keys.QueueBlob
}

// owner is whose blobs a partition names.
func owner(p kv.Partition) mail.AccountID { return mail.AccountID(p) }

// A leaf gathers rows until it is full.
//
//	version; for each row: shared, rest of the key, 0 and the value or 1 and
//	where it lies
type leaf struct {
	b    []byte
	last []byte // key
	rows int
	uses []uint32 // packs, by their numbers, in order
}

func (l *leaf) reset() { *l = leaf{b: l.b[:0], last: l.last[:0], uses: l.uses[:0]} }

func (l *leaf) key(key []byte) {
	if len(l.b) == 0 {
		l.b = append(l.b, leafFormat)
	}
	n := 0
	for n < len(key) && n < len(l.last) && key[n] == l.last[n] {
		n++
	}
	l.b = binary.AppendUvarint(l.b, uint64(n))
	l.b = binary.AppendUvarint(l.b, uint64(len(key)-n))
	l.b = append(l.b, key[n:]...)
	l.last = append(l.last[:0], key...)
	l.rows++
}

func (l *leaf) value(key, value []byte) {
	l.key(key)
	l.b = append(l.b, 0)
	l.b = binary.AppendUvarint(l.b, uint64(len(value)))
	l.b = append(l.b, value...)
}

func (l *leaf) reference(key []byte, at ref, pack int) {
	l.key(key)
	l.b = at.appendTo(append(l.b, 1), pack)
	for i, u := range l.uses {
		if u == uint32(pack) {
			return
		}
		if u > uint32(pack) {
			l.uses = append(l.uses, 0)
			copy(l.uses[i+1:], l.uses[i:])
			l.uses[i] = uint32(pack)
			return
		}
	}
	l.uses = append(l.uses, uint32(pack))
}

// full tells whether the leaf ends after a row of so many octets: large ones
// are more likely to be the last, so that leaves are of a like size; and where
// it ends depends on the row alone, so that leaves stay what they are when
// others change.
func (l *leaf) full(key []byte, size int) bool {
	if len(l.b) >= maxLeaf {
		return true
	}
	return size >= leafTarget || xxhash.Sum64(key) < uint64(size)*(math.MaxUint64/leafTarget)
}

// rowsOf goes through the rows of a leaf. For those whose value lies
// elsewhere, value is nil.
func rowsOf(b []byte, packs []packID, fn func(key, value []byte, at ref) error) error {
	d := decoder{b: b}
	if d.byte() != leafFormat {
		return damagedf("leaf")
	}
	var key []byte
	for len(d.b) > 0 {
		shared := d.number(uint64(len(key)) + 1)
		rest := d.bytes(d.number(uint64(kv.DefaultLimits.Key) + 1))
		if d.bad {
			return damagedf("leaf")
		}
		key = append(key[:shared:shared], rest...)
		if len(key) > kv.DefaultLimits.Key {
			return damagedf("leaf")
		}
		switch d.byte() {
		case 0:
			value := d.bytes(d.number(uint64(kv.DefaultLimits.Value) + 1))
			if d.bad {
				return damagedf("leaf")
			}
			if err := fn(key, value, ref{}); err != nil {
				return err
			}
		case 1:
			at := d.ref(packs)
			if d.bad || at.length > uint32(kv.DefaultLimits.Value) {
				return damagedf("leaf")
			}
			if err := fn(key, nil, at); err != nil {
				return err
			}
		default:
			return damagedf("leaf")
		}
	}
	if d.bad {
		return damagedf("leaf")
	}
	return nil
}
