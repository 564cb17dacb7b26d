package mailbox

import (
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// What the last transaction of an account has left in memory for the next.
//
// Every head that is written has a stamp of its own. A transaction that reads
// the head that the one before it on this node has written knows that nothing
// has changed since: no other node has written, nor has the account been
// deleted, restored or taken back. It then need not read again what the one
// before knew. What a transaction leaves counts from when it ran, before it is
// durable: if its commit fails, its stamp is never read.
//
// An engine that can tell that nothing has been committed since (kv.Dated) spares
// it the head, too.

// A kept is what a transaction has left.
type kept struct {
	head  head
	boxes []box
	known *keyFilter // of all keys that there are; nil if that is not known
	added int        // emails, since it is kept
	alone int        // transactions until it is of use again

	version kv.Version // of the commit that has written head; 0 if that is not known
}

const (
	maxKeptBoxes = 8
	// After another node has written, so many transactions read everything:
	// it is likely to write again, and then asking twice is a round trip more.
	keptAlone = 16
)

// box gives a mailbox, if it is kept.
func (k *kept) box(id mail.MailboxID) *box {
	for i := range k.boxes {
		if k.boxes[i].ID == id {
			return &k.boxes[i]
		}
	}
	return nil
}

// keep takes a mailbox as it is in the engine now.
func (k *kept) keep(m *box) {
	if have := k.box(m.ID); have != nil {
		*have = *m
		return
	}
	if len(k.boxes) == maxKeptBoxes {
		copy(k.boxes, k.boxes[1:])
		k.boxes = k.boxes[:maxKeptBoxes-1]
	}
	k.boxes = append(k.boxes, *m)
}

// drop forgets a mailbox.
func (k *kept) drop(id mail.MailboxID) {
	for i := range k.boxes {
		if k.boxes[i].ID == id {
			k.boxes = append(k.boxes[:i], k.boxes[i+1:]...)
			return
		}
	}
}

// Remembered gives the number of a mailbox that can hold messages, where that is
// known without asking the engine: nobody else writes, and the last change of
// the account has left it. What that change did may not be durable yet; what
// follows upon it is later in the order.
func (a *Account) Remembered(name string) (mail.MailboxID, bool) {
	t := a.names.Load()
	if t == nil || a.store.o.Shared {
		return 0, false
	}
	name, err := CleanName(name)
	if err != nil {
		return 0, false
	}
	id := t.byName[name]
	return id, id != 0 && a.store.kept.has(a.id, t.at, id, name)
}

// lacks tells whether the account certainly has no such key.
func (k *kept) lacks(key []byte) bool {
	return k.known != nil && filtered(key) && !k.known.has(key)
}

// note follows what is being written.
func (k *kept) note(key []byte) {
	switch {
	case len(key) == 5 && key[0] == keys.Mailbox:
		k.drop(boxOfKey(key))
	case k.known != nil && filtered(key) && !k.known.add(key):
		k.known = nil
	}
}

// learn makes the filter once it is worth it: reading a key in order costs a
// tenth of looking for one in vain, so the time that has been lost by not
// having the filter is what it costs to make.
func (k *kept) learn(r kv.Reader) error {
	n := 0
	if k.head.email > 0 { // the number says little: see Renew
		n = int(max(k.head.messages, 1))
	}
	if k.known != nil || n > 0 && (k.added < 16 || k.added < n/8 || n > filterMost/4) {
		return nil
	}
	f := new(keyFilter)
	if n > 0 {
		for _, prefix := range [...]byte{keys.Body, keys.Mention} {
			for it, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{KeysOnly: true}) {
				if err != nil {
					return err
				}
				if filtered(it.Key) && !f.add(it.Key) {
					k.added = 0
					return nil
				}
			}
		}
	}
	k.known = f
	return nil
}

// begin reads what change says, but for what is kept of it and for keys that
// the account is known to lack.
func (t *txn) begin(boxes []mail.MailboxID, extra [][]byte) ([][]byte, error) {
	k := t.kept
	if k.alone > 0 {
		*k = kept{alone: k.alone - 1}
	}
	known := k.version != 0 && t.committed() == k.version
	want := make([][]byte, 0, 1+len(boxes)+len(extra))
	if !known {
		want = append(want, headKey)
	}
	room := make([]byte, 0, 5*len(boxes))
	own := make([]box, len(boxes)) // keeping one may let another go
	for i, id := range boxes {
		if m := k.box(id); m != nil {
			own[i] = *m
		} else {
			room = appendBoxKey(room, id)
			want = append(want, room[len(room)-5:len(room):len(room)])
		}
	}
	for _, key := range extra {
		if !k.lacks(key) {
			want = append(want, key)
		}
	}
	var values [][]byte
	if len(want) > 0 {
		var err error
		if values, err = t.Txn.GetMany(want); err != nil {
			return nil, err
		}
	}
	if err := t.takeHead(&values, known); err != nil {
		return nil, err
	}
	if t.head != k.head {
		alone := k.alone
		if k.head != (head{}) {
			alone = keptAlone
		}
		all := len(want) == 1+len(boxes)+len(extra)
		*k = kept{head: t.head, alone: alone}
		if !all {
			return t.begin(boxes, extra)
		}
	}
	k.version = t.committed()
	for i, id := range boxes {
		if m := &own[i]; m.ID != id {
			b := values[0]
			values = values[1:]
			if b == nil {
				continue
			}
			var err error
			if *m, err = decodeBox(id, b); err != nil {
				return nil, err
			}
			k.keep(m)
		}
		t.boxes = append(t.boxes, &own[i])
	}
	if len(values) < len(extra) {
		got := make([][]byte, len(extra))
		for i, key := range extra {
			if !k.lacks(key) {
				got[i], values = values[0], values[1:]
			}
		}
		values = got
	}
	return values, k.learn(t.Txn)
}

// committed gives the version of the newest commit, if the engine tells.
func (t *txn) committed() kv.Version {
	if dated, ok := t.Txn.(kv.Dated); ok {
		return dated.Newest()
	}
	return 0
}

// takeHead takes the head from the values that have been read, or what is kept of
// it if it was known.
func (t *txn) takeHead(values *[][]byte, known bool) (err error) {
	if known {
		t.head = t.kept.head
		return nil
	}
	t.head, err = decodeHead((*values)[0])
	*values = (*values)[1:]
	return err
}

// GetMany reads, but not what the account is known to lack.
func (t *txn) GetMany(want [][]byte) ([][]byte, error) {
	some := 0
	for _, key := range want {
		if !t.kept.lacks(key) {
			some++
		}
	}
	if some == len(want) {
		return t.Txn.GetMany(want)
	}
	got := make([][]byte, len(want))
	if some == 0 {
		return got, nil
	}
	ask := make([][]byte, 0, some)
	for _, key := range want {
		if !t.kept.lacks(key) {
			ask = append(ask, key)
		}
	}
	values, err := t.Txn.GetMany(ask)
	if err != nil {
		return nil, err
	}
	for i, key := range want {
		if !t.kept.lacks(key) {
			got[i], values = values[0], values[1:]
		}
	}
	return got, nil
}

// Put writes, and has it known.
func (t *txn) Put(key, value []byte) {
	t.kept.note(key)
	t.Txn.Put(key, value)
}

// Delete deletes, and has it known.
func (t *txn) Delete(key []byte) {
	if len(key) == 5 {
		t.kept.note(key)
	}
	t.Txn.Delete(key)
}
