package mailbox

import (
	"encoding/binary"

	"waxwing/mail"
)

// What flags and names were before a change stands in the log with it, so
// that an account can be shown as it was at any time inside the window. Most
// changes find many entries in the same state: what was before is kept in
// runs, and costs STORE 1:* on a mailbox of any size some octets.

// A before is what so many successive entries of an item were.
//
//	uvarint count, uvarint flags, uvarint length of words, words
type before struct {
	count int
	flags mail.Flags
	words string // as in a row; of an itemRenamed the name
}

// setBefore notes what a row was before its flags change.
func setBefore(list []before, r *row) []before {
	if n := len(list); n > 0 && list[n-1].flags == r.Flags && list[n-1].words == string(r.words) {
		list[n-1].count++
		return list
	}
	return append(list, before{1, r.Flags, string(r.words)})
}

// octetsOf is what one entry costs in a record at worst; see maxPart.
const octetsOf = 15

// fit gives how many of n entries fit into a record that has room for so many,
// with what was before, and how much of the room they take.
func fit(kind byte, n int, list []before, room int) (fits, cost int) {
	if kind == itemRenamed || kind == itemNoted {
		return 0, 1 + len(list[0].words)/octetsOf
	}
	if kind != itemSet {
		n = min(n, room)
		return n, n
	}
	for _, e := range list {
		run := 1 + (8+len(e.words))/octetsOf
		if cost+run+1 > room {
			break
		}
		k := min(e.count, n-fits, room-cost-run)
		fits, cost = fits+k, cost+run+k
		if k < e.count {
			break
		}
	}
	return fits, cost
}

// appendBefore writes what the first n entries were, and gives the rest.
func appendBefore(dst []byte, list []before, n int) ([]byte, []before) {
	runs, left := 0, n
	for left > 0 {
		left -= list[runs].count
		runs++
	}
	dst = binary.AppendUvarint(dst, uint64(runs))
	for ; n > 0; list = list[1:] {
		e := &list[0]
		k := min(n, e.count)
		dst = binary.AppendUvarint(dst, uint64(k))
		dst = binary.AppendUvarint(dst, uint64(e.flags))
		dst = binary.AppendUvarint(dst, uint64(len(e.words)))
		dst = append(dst, e.words...)
		n -= k
		if k < e.count { // the transaction may run again: the list stays
			list = append([]before{{e.count - k, e.flags, e.words}}, list[1:]...)
			return dst, list
		}
	}
	return dst, list
}

func decodeBefore(d *decoder, entries int) []before {
	var list []before
	for runs := d.uvarint(); runs > 0 && !d.bad; runs-- {
		n := d.uvarint()
		e := before{flags: mail.Flags(d.uvarint()), words: string(d.bytes(d.uvarint()))}
		if n < 1 || n > uint64(entries) {
			d.bad = true
			break
		}
		e.count = int(n)
		entries -= e.count
		list = append(list, e)
	}
	d.bad = d.bad || entries != 0
	return list
}
