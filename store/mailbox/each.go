package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/kv"
)

// Reading what is known of many emails, one after the other. In a mailbox that
// mail arrives in the records lie as its entries do, and one scan passes them
// all; they are decoded into the same memory.

// eachRecord calls fn for each of the ids, in their order, with the record's
// octets, nil for emails that there are not, until it says that it has enough.
// They are valid until fn returns.
func eachRecord(r kv.Reader, ids []mail.EmailID, room *kv.Room, fn func(i int, b []byte) (more bool, err error)) error {
	if adjacent(ids) {
		return scanRecords(r, ids, fn)
	}
	if err := kv.GetInto(r, recordKeys(ids), room); err != nil {
		return err
	}
	for i, b := range room.Values {
		if more, err := fn(i, b); err != nil || !more {
			return err
		}
	}
	return nil
}

// adjacent tells whether emails follow each other so closely that it is cheaper
// to go through all records between the first and the last.
func adjacent(ids []mail.EmailID) bool {
	n := len(ids)
	if n < 16 || ids[n-1] < ids[0] || uint64(ids[n-1]-ids[0]) >= 3*uint64(n) {
		return false
	}
	for i := range ids[1:] {
		if ids[i] >= ids[i+1] {
			return false
		}
	}
	return true
}

func scanRecords(r kv.Reader, ids []mail.EmailID, fn func(i int, b []byte) (bool, error)) error {
	i := 0
	// missing passes over emails that there are not.
	missing := func(next mail.EmailID) (more bool, err error) {
		for more = true; more && err == nil && i < len(ids) && ids[i] < next; i++ {
			more, err = fn(i, nil)
		}
		return more, err
	}
	last := ids[len(ids)-1]
	for it, err := range r.Scan(appendRecordKey(nil, ids[0]), appendRecordKey(nil, last+1), kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != 9 {
			return fmt.Errorf("key of a message: %w", errCorrupt)
		}
		id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:]))
		if more, err := missing(id); err != nil || !more {
			return err
		}
		if ids[i] != id {
			continue
		}
		more, err := fn(i, it.Value)
		if i++; err != nil || !more {
			return err
		}
	}
	_, err := missing(last + 1)
	return err
}

// A factsReader is the memory in which one email's facts are decoded after the
// other's.
type factsReader struct {
	room    kv.Room
	decoder message.Decoder
	facts   Facts
}

var factsReaders = sync.Pool{New: func() any { return new(factsReader) }}

// EachFacts calls fn with what is known of each of the emails, in their order,
// nil for those that there are not, until fn says that it has enough; in one
// round trip. What fn is given is valid until it returns, of the message only
// what is wanted, and fn does not wait for anything. EachFacts gives how many emails it has called fn for. Where one
// cannot be read, it ends before that, and fails if it is the first.
func (a *Account) EachFacts(ctx context.Context, ids []mail.EmailID, only message.Only, fn func(i int, f *Facts) (more bool)) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	reader := factsReaders.Get().(*factsReader)
	defer factsReaders.Put(reader)
	reader.decoder.Only = only
	done := 0
	var unreadable error
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		return eachRecord(r, ids, &reader.room, func(i int, b []byte) (bool, error) {
			var f *Facts
			if b != nil {
				if f, unreadable = reader.read(r, ids[i], b); unreadable != nil {
					return false, nil
				}
			}
			done++
			return fn(i, f), nil
		})
	})
	switch {
	case err == nil && done == 0:
		err = unreadable
	case err == nil || ctx.Err() != nil:
	case done > 0: // what follows will say so itself
		err = nil
	case len(ids) > 1: // one of them is damaged, perhaps not the first
		return a.EachFacts(ctx, ids[:1], only, fn)
	}
	return done, err
}

// read decodes one record.
func (fr *factsReader) read(r kv.Reader, id mail.EmailID, b []byte) (*Facts, error) {
	record, err := decodeRecord(id, b)
	if err != nil {
		return nil, err
	}
	whole, err := record.complete(r, id)
	if err != nil {
		return nil, err
	}
	if fr.facts, err = record.facts(id, whole, &fr.decoder); err != nil {
		return nil, err
	}
	return &fr.facts, nil
}
