package mailbox

import (
	"encoding/binary"
	"fmt"
	"math"

	"waxwing/mail"
	"waxwing/store/keys"
)

// A row is an entry as the engine has it: the keywords as numbers of the
// account, uvarints in rising order.
//
//	version, flags u16, size u32, email u64, modseq u64, internal i64,
//	saved i64, keywords
type row struct {
	Entry // Keywords is not set
	words []byte
}

const rowFixed = 1 + 2 + 4 + 8 + 8 + 8 + 8

func appendEntryKey(dst []byte, id mail.MailboxID, uid mail.UID) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, keys.Entry), uint32(id))
	return binary.BigEndian.AppendUint32(dst, uint32(uid))
}

func (r *row) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, entryFormat)
	dst = le.AppendUint16(dst, uint16(r.Flags))
	dst = le.AppendUint32(dst, r.Size)
	dst = le.AppendUint64(dst, uint64(r.Email))
	dst = le.AppendUint64(dst, uint64(r.ModSeq))
	dst = le.AppendUint64(dst, uint64(r.Internal))
	dst = le.AppendUint64(dst, uint64(r.Saved))
	return append(dst, r.words...)
}

// decodeRow reads a row; its words share memory with b.
func decodeRow(uid mail.UID, b []byte) (row, error) {
	if len(b) < rowFixed || b[0] != entryFormat {
		return row{}, fmt.Errorf("entry %d: %w", uid, errCorrupt)
	}
	le := binary.LittleEndian
	return row{
		Entry: Entry{
			UID:      uid,
			Flags:    mail.Flags(le.Uint16(b[1:])),
			Size:     le.Uint32(b[3:]),
			Email:    mail.EmailID(le.Uint64(b[7:])),
			ModSeq:   mail.ModSeq(le.Uint64(b[15:])),
			Internal: int64(le.Uint64(b[23:])),
			Saved:    uint32(min(le.Uint64(b[31:]), math.MaxUint32)),
		},
		words: b[rowFixed:],
	}, nil
}

// A place is where an email lies.
type place struct {
	Mailbox mail.MailboxID
	UID     mail.UID
}

// places are all the places of an email, and how many of its entries are
// expunged but not yet purged. An email without a row of places lies where it
// was appended, and nowhere else: most never need one.
//
//	version, uvarint gone, {uvarint mailbox, uvarint uid}...
type places struct {
	gone int
	at   []place
}

// maxPlaces bounds how often one email may be copied.
const maxPlaces = 4000

func appendPlacesKey(dst []byte, id mail.EmailID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keys.Places), uint64(id))
}

func (p *places) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, placesFormat), uint64(p.gone))
	for _, at := range p.at {
		dst = binary.AppendUvarint(dst, uint64(at.Mailbox))
		dst = binary.AppendUvarint(dst, uint64(at.UID))
	}
	return dst
}

// decodePlaces reads a row of places. Without one the email is at home.
func decodePlaces(b []byte, home place) (places, error) {
	if b == nil {
		return places{at: []place{home}}, nil
	}
	d := decoder{b: b}
	if d.byte() != placesFormat {
		return places{}, fmt.Errorf("places: %w", errCorrupt)
	}
	p := places{gone: int(d.uvarint())}
	for len(d.b) > 0 && !d.bad {
		p.at = append(p.at, place{mail.MailboxID(d.uvarint()), mail.UID(d.uvarint())})
	}
	if d.bad {
		return places{}, fmt.Errorf("places: %w", errCorrupt)
	}
	return p, nil
}

// remove takes away one place.
func (p *places) remove(at place) {
	for i, q := range p.at {
		if q == at {
			p.at = append(p.at[:i], p.at[i+1:]...)
			return
		}
	}
}

// A decoder reads numbers from the front of a record.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes takes n octets, which share memory with the record.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}
