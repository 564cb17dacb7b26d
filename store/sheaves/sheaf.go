package sheaves

import (
	"encoding/binary"
	"errors"

	"waxwing/mail"
)

// Size is how many successive UIDs a Sheaf is for.
const Size = 256

// A Sheaf holds one kind of answer for messages whose UIDs differ in their last
// bits only. Once it is kept it never changes.
type Sheaf struct {
	Emails [Size]mail.EmailID // by the last bits of the UID; zero where there is no answer
	Ends   [Size]uint32       // in Octets, where the answer before it begins
	Octets []byte
}

// At gives the answer for an email with some UID, nil if it is not there. It
// must not be changed.
func (s *Sheaf) At(uid mail.UID, email mail.EmailID) []byte {
	i := uid % Size
	if s.Emails[i] != email {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = s.Ends[i-1]
	}
	return s.Octets[from:s.Ends[i]:s.Ends[i]]
}

// Count tells how many answers there are.
func (s *Sheaf) Count() int {
	n := 0
	for _, id := range s.Emails {
		if id != 0 {
			n++
		}
	}
	return n
}

// A sheaf as it is stored:
//
//	version, u32 edition, u32 uidvalidity, u32 octets,
//	for each of Size: uvarint email (0 for none), and then uvarint length,
//	octets
//
// It is cut into rows of partSize. Rows behind the last are those of an older one.
const (
	sheafFormat = 1
	sheafHead   = 13
)

var errCorrupt = errors.New("sheaves: row is corrupt")

// append writes a sheaf.
func (s *Sheaf) append(dst []byte, edition uint32, validity mail.UIDValidity) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, sheafFormat), edition)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(validity))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s.Octets)))
	from := uint32(0)
	for i, id := range s.Emails {
		dst = binary.AppendUvarint(dst, uint64(id))
		if id != 0 {
			dst = binary.AppendUvarint(dst, uint64(s.Ends[i]-from))
		}
		from = s.Ends[i]
	}
	return append(dst, s.Octets...)
}

// A reading is a sheaf whose parts come one after the other.
type reading struct {
	sheaf *Sheaf
	want  int // octets in all
}

// begin reads the first part. It gives nil for a sheaf of another edition, or of a
// mailbox that had another UIDVALIDITY.
func begin(b []byte, edition uint32, validity mail.UIDValidity) (*reading, error) {
	if len(b) < sheafHead || b[0] != sheafFormat {
		return nil, errCorrupt
	}
	le := binary.LittleEndian
	if le.Uint32(b[1:]) != edition || mail.UIDValidity(le.Uint32(b[5:])) != validity {
		return nil, nil
	}
	r := &reading{sheaf: new(Sheaf), want: int(le.Uint32(b[9:]))}
	if r.want > MaxOctets {
		return nil, errCorrupt
	}
	b = b[sheafHead:]
	end := uint64(0)
	for i := range Size {
		id, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errCorrupt
		}
		b = b[n:]
		if id != 0 {
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(r.want)-end {
				return nil, errCorrupt
			}
			b = b[n:]
			end += length
		}
		r.sheaf.Emails[i], r.sheaf.Ends[i] = mail.EmailID(id), uint32(end)
	}
	if end != uint64(r.want) || len(b) > r.want {
		return nil, errCorrupt
	}
	r.sheaf.Octets = append(make([]byte, 0, r.want), b...)
	return r, nil
}

// add reads the next part.
func (r *reading) add(b []byte) error {
	if len(b) > r.want-len(r.sheaf.Octets) {
		return errCorrupt
	}
	r.sheaf.Octets = append(r.sheaf.Octets, b...)
	return nil
}

// whole tells whether all parts have come.
func (r *reading) whole() bool { return len(r.sheaf.Octets) == r.want }
