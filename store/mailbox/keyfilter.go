package mailbox

import (
	"encoding/binary"
	"math/bits"

	"waxwing/store/keys"
)

// A keyFilter knows that an account lacks a key, of those that begin with
// hashes: mentions and the first chunks of bodies. It holds all that there
// are, and may be mistaken about others, a few times in a hundred at most. Most
// messages that arrive are new, and looking for a key in vain is the dearest
// way to read: it goes through all of the engine.
//
// It is a split block Bloom filter: a key sets one bit in each of the eight
// words of its block. When a layer is full the next one, of twice its size, is
// begun.
type keyFilter struct {
	layers [][]filterBlock
	room   int // for keys in the last layer
}

type filterBlock [8]uint64

const (
	filterFirst  = 4                // blocks of the first layer: 256 octets
	filterLayers = 10               // at most: 255.75 KiB
	filterRoom   = 40               // keys for a block: 13 bits for each
	filterMost   = 163_680          // keys in all, which the layers have room for
	filterOctets = 8 * 8            // of a block
	filterHashed = 1 + 16           // octets of a key that are looked at
	filterBody   = 1 + 32           // where the number of a body's chunk stands
	filterMask   = uint64(1)<<6 - 1 // of a bit's number in a word
)

// filtered tells whether the filter is about a key.
func filtered(key []byte) bool {
	switch {
	case len(key) < filterHashed:
		return false
	case key[0] == keys.Mention:
		return true
	}
	return key[0] == keys.Body && len(key) == filterBody+1 && key[filterBody] == 0
}

// add takes a key, and tells whether there was room for it.
func (f *keyFilter) add(key []byte) bool {
	if f.room == 0 {
		if len(f.layers) == filterLayers {
			return false
		}
		n := filterFirst << len(f.layers)
		f.layers = append(f.layers, make([]filterBlock, n))
		f.room = filterRoom * n
	}
	f.room--
	bit, block := filterPlace(key, f.layers[len(f.layers)-1])
	for i := range block {
		block[i] |= 1 << (bit & filterMask)
		bit >>= 6
	}
	return true
}

// has tells whether a key may be there.
func (f *keyFilter) has(key []byte) bool {
	for _, layer := range f.layers {
		bit, block := filterPlace(key, layer)
		all := uint64(1)
		for _, word := range block {
			all &= word >> (bit & filterMask)
			bit >>= 6
		}
		if all != 0 {
			return true
		}
	}
	return false
}

// filterPlace gives the block of a key in a layer, and its bits there.
func filterPlace(key []byte, layer []filterBlock) (bit uint64, block *filterBlock) {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(key[1:]), uint64(len(layer)))
	return binary.LittleEndian.Uint64(key[9:]), &layer[at]
}

// octets tells how much memory the filter takes.
func (f *keyFilter) octets() int {
	n := 0
	if f != nil {
		for _, layer := range f.layers {
			n += filterOctets * len(layer)
		}
	}
	return n
}
