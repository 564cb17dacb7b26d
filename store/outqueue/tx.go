package outqueue

import (
	"errors"
	"fmt"

	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A shardTxn is one transaction on a shard, with its head read at the
// beginning and written at the end.
type shardTxn struct {
	kv.Txn
	shard int
	head  head
	freed []blob.Sum // bodies that have lost their last item
	made  []fresh    // what has been enqueued
	room  []byte     // for keys and short values, which live as long as the transaction
}

// roomStep is how much room for keys and short values is made at once.
const roomStep = 256

// carve gives room for n octets, to be appended to.
func (tx *shardTxn) carve(n int) []byte {
	if cap(tx.room)-len(tx.room) < n {
		tx.room = make([]byte, 0, max(roomStep, n))
	}
	at := len(tx.room)
	tx.room = tx.room[:at+n]
	return tx.room[at : at : at+n]
}

func (tx *shardTxn) itemKey(id ID, part int) []byte {
	return appendItemKey(tx.carve(partKeySize), id, part)
}
func (tx *shardTxn) stateKey(id ID) []byte {
	return appendIDKey(tx.carve(idKeySize), keys.QueueState, id)
}
func (tx *shardTxn) bodyKey(id ID, chunk int) []byte {
	return appendBodyKey(tx.carve(partKeySize), id, chunk)
}
func (tx *shardTxn) dueKey(due int64, id ID) []byte {
	return appendDueKey(tx.carve(dueKeySize), due, id)
}

// begin reads the head. fn of Update may run again: everything is made anew.
func begin(tx kv.Txn, shard int, shards int) (*shardTxn, error) {
	h, err := readHead(tx)
	h.shards = uint16(shards)
	return &shardTxn{Txn: tx, shard: shard, head: h}, err
}

// markEarly notes what of that which has been enqueued takes a place in the
// index before that of something which has come in an earlier transaction: an
// urgent message, or one that has waited for its turn here. A cursor may stand
// behind that place already.
func (tx *shardTxn) markEarly() {
	before, early := tx.head.newest, false
	for _, f := range tx.made {
		if due := f.state.due; !f.state.held && due <= f.item.Created.UnixNano() {
			early = early || due < before
			tx.head.newest = max(tx.head.newest, due)
		}
	}
	if early {
		tx.head.early++
	}
}

// end writes the head.
func (tx *shardTxn) end() {
	tx.Put(append(tx.carve(1), keys.QueueHead), tx.head.append(tx.carve(longHead)))
}

func (tx *shardTxn) state(id ID) (state, error) {
	b, err := tx.Get(stateKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return state{}, ErrNotFound
	}
	if err != nil {
		return state{}, err
	}
	return decodeState(b)
}

// schedule sets an item's place in the index to that of the new state, and
// writes the state.
func (tx *shardTxn) schedule(id ID, old, s state) {
	if old != (state{}) && !old.held {
		tx.Delete(tx.dueKey(old.due, id))
	}
	if !s.held {
		tx.Put(tx.dueKey(s.due, id), s.appendRow(tx.carve(rowSize)))
		tx.head.low = min(tx.head.low, s.due)
	}
	tx.Put(tx.stateKey(id), s.append(tx.carve(stateSize)))
	tx.head.counts.add(s, 1)
	if old != (state{}) {
		tx.head.counts.add(old, -1)
	}
}

func (c *Counts) add(s state, n int64) {
	c.Items += n
	c.Octets += mailBytes(s.octets) * mailBytes(n)
	if s.held {
		c.Held += n
	}
	if s.tried {
		c.Deferred += n
	}
}

// usualRecord is what most records take.
const usualRecord = 384

// putRecord writes the record in parts and gives their number. had is how many
// parts there were.
func (tx *shardTxn) putRecord(it *Item, had uint16) uint16 {
	b := appendItem(make([]byte, 0, usualRecord), it)
	n := 0
	for ; len(b) > 0; n++ {
		part := b[:min(partSize, len(b))]
		tx.Put(tx.itemKey(it.ID, n), part)
		b = b[len(part):]
	}
	for i := n; i < int(had); i++ {
		tx.Delete(tx.itemKey(it.ID, i))
	}
	return uint16(n)
}

// readItem reads an item whose state is known.
func readItem(r kv.Reader, id ID, s state) (*Item, error) {
	parts := make([][]byte, s.parts)
	for i := range parts {
		parts[i] = itemKey(id, i)
	}
	rows, err := r.GetMany(parts)
	if err != nil {
		return nil, err
	}
	return assemble(id, s, rows)
}

func assemble(id ID, s state, rows [][]byte) (*Item, error) {
	var b []byte
	for _, row := range rows {
		if row == nil {
			return nil, fmt.Errorf("item %s: %w: a part is missing", id, errDamaged)
		}
		if b == nil && len(rows) == 1 {
			b = row
			break
		}
		b = append(b, row...)
	}
	it, err := decodeItem(id, b)
	if err != nil {
		return nil, err
	}
	it.Held, it.Leased = s.held, s.leased
	it.Due = fromNano(s.due)
	return it, nil
}

// remove deletes an item with everything that it has.
func (tx *shardTxn) remove(it *Item, s state) error {
	if !s.held {
		tx.Delete(tx.dueKey(s.due, it.ID))
	}
	tx.Delete(tx.stateKey(it.ID))
	for i := range int(s.parts) {
		tx.Delete(tx.itemKey(it.ID, i))
	}
	for i := range int(s.chunks) {
		tx.Delete(tx.bodyKey(it.ID, i))
	}
	tx.head.counts.add(s, -1)
	if it.blob == nil {
		return nil
	}
	left, err := tx.claim(*it.blob, -1)
	if err == nil && left == 0 {
		tx.freed = append(tx.freed, *it.blob)
	}
	return err
}

// claim changes the number of items that have a large body.
func (tx *shardTxn) claim(sum blob.Sum, change int) (int, error) {
	n, err := claims(tx, sum)
	if err != nil {
		return 0, err
	}
	n += change
	if n <= 0 {
		tx.Delete(blobKey(sum))
		return 0, nil
	}
	tx.Put(blobKey(sum), encodeClaims(n))
	return n, nil
}
