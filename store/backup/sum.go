package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/cespare/xxhash/v2"
)

// A packSum is the checksum of a pack, by which damage is found without the
// key: XXH64, little-endian, and zeros. It is no protection against who can
// write to the repository, for he can write another snapshot, too; the sealing
// is. Repositories of before have SHA-256 there, which took a quarter of the
// processor time of a backup and never ends with so many zeros.
type packSum [sha256.Size]byte

const shortSum = 8 // octets that are not zero

// hash gives what computes sums of the same kind.
func (s packSum) hash() hash.Hash {
	for _, b := range s[shortSum:] {
		if b != 0 {
			return sha256.New()
		}
	}
	return xxhash.New()
}

// sumOf gives the checksum that a hash of either kind has come to.
func sumOf(h hash.Hash) (s packSum) {
	if x, ok := h.(*xxhash.Digest); ok {
		binary.LittleEndian.PutUint64(s[:], x.Sum64())
		return s
	}
	h.Sum(s[:0])
	return s
}
