// Package sheaves keeps answers about messages as they are sent to those who
// list mailboxes, so that the first who lists one after a start of the program
// need not wait until they have been made again.
//
// Answers are kept in sheaves: one kind of answer for 256 successive UIDs of a
// mailbox. What kinds there are, and what is in an answer, is known to whoever
// keeps them (serve/imap).
//
// # Where they lie
//
// In the partition of the account's search index (store/search), which can be
// dropped at any time, is in no backup and goes with the account:
//
//	f mailbox kind number part    one stretch of a sheaf (sheaf.go draws it)
//
// number is that of the UIDs without their last bits. A sheaf names the
// UIDVALIDITY of its mailbox and, beside each answer, the email's number.
// Messages never change, and these numbers are never given again: what is found
// is right, or else it is not found. A sheaf that cannot be read is one that is
// not there.
package sheaves

import (
	"context"
	"encoding/binary"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Store keeps sheaves. It is safe for concurrent use.
type Store struct {
	db      kv.Store
	edition uint32
}

// New gives a Store in db. Sheaves of another edition are not found: whoever
// writes answers in another way than before counts it up.
func New(db kv.Store, edition uint32) *Store { return &Store{db, edition} }

// A Place says which sheaves of a mailbox are meant.
type Place struct {
	Account  mail.AccountID
	Mailbox  mail.MailboxID
	Validity mail.UIDValidity
	Kind     byte
}

// A Kept is a sheaf with its number.
type Kept struct {
	Place  Place
	Number uint32 // of its UIDs, without their last bits
	Sheaf  *Sheaf
}

// MaxOctets is how long the answers of a Sheaf may be in all; longer ones are
// not stored. partSize is how much of it is in one row.
const (
	MaxOctets = 256 << 10
	partSize  = 60 << 10
)

const keyLength = 1 + 4 + 1 + 4 + 1

func appendKey(dst []byte, p *Place, number uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, keys.IndexSheaf), uint32(p.Mailbox))
	return binary.BigEndian.AppendUint32(append(dst, p.Kind), number)
}

// numberOf gives the number in a key.
func numberOf(key []byte) uint32 { return binary.BigEndian.Uint32(key[6:]) }

// Read calls found with those sheaves of a mailbox that there are, of the numbers
// from first to last.
func (s *Store) Read(ctx context.Context, p Place, first, last uint32, found func(number uint32, sheaf *Sheaf)) error {
	return s.db.View(ctx, keys.Index(p.Account), func(r kv.Reader) error {
		now := reader{edition: s.edition, validity: p.Validity, found: found}
		hi := kv.PrefixEnd(appendKey(nil, &p, last))
		for it, err := range r.Scan(appendKey(nil, &p, first), hi, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(it.Key) != keyLength {
				continue
			}
			now.add(numberOf(it.Key), it.Key[keyLength-1], it.Value)
		}
		now.end()
		return nil
	})
}

// A reader puts sheaves together.
type reader struct {
	edition  uint32
	validity mail.UIDValidity
	found    func(number uint32, sheaf *Sheaf)
	number   uint32
	parts    byte
	reading  *reading // nil where there is none, or it is not to be had
}

// add takes the next row.
func (r *reader) add(number uint32, part byte, b []byte) {
	if part == 0 {
		r.end()
		r.number, r.parts = number, 1
		r.reading, _ = begin(b, r.edition, r.validity) // what cannot be read is not there
		return
	}
	if r.reading == nil || r.reading.whole() {
		return
	}
	if number != r.number || part != r.parts || r.reading.add(b) != nil {
		r.reading = nil
	}
	r.parts++
}

// end gives the sheaf whose last row has come.
func (r *reader) end() {
	if r.reading != nil && r.reading.whole() {
		r.found(r.number, r.reading.sheaf)
	}
	r.reading = nil
}
