// Package opened remembers which mailboxes a node of the server had in memory,
// and which answers about them, so that a start can bring them back before
// anybody asks: databases do so with their buffers.
//
// # Where it lies
//
// In a file of the node's own data directory, whatever the engine: nodes that
// share an engine have each their own mailboxes in memory. It is only ever a
// hint. What it names may have gone, changed or come back from a backup; a file
// that is not there, or is not whole, names nothing. So it is written without
// waiting for the disk, and no backup has it:
//
//	version, uvarint mailboxes,
//	for each: uvarint account, uvarint mailbox, uvarint stretches,
//	          {kind, uvarint first, uvarint numbers behind it}...,
//	u64 xxhash of all that
package opened

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"waxwing/mail"
)

// A Mailbox is one that was in memory.
type Mailbox struct {
	Account   mail.AccountID
	Mailbox   mail.MailboxID
	Stretches []Stretch
}

// A Stretch is of which of its messages there were answers of one kind: those of
// the sheaves (store/sheaves) with these numbers, or of some of them.
type Stretch struct {
	Kind        byte
	First, Last uint32
}

// MaxMailboxes and MaxStretches bound a list: of the mailboxes, and of the
// stretches of each.
const (
	MaxMailboxes = 1024
	MaxStretches = 16
)

// A File is where the list is kept. It belongs to one goroutine at a time.
type File struct {
	name    string
	written []byte // what is there, if it is known
}

// New gives the file of that name, which need not be there.
func New(name string) *File { return &File{name: name} }

// Take gives the list, the mailbox that matters most first, and removes the file:
// should anything that the list names be more than the program can bear, the next
// start does not meet it again.
func (f *File) Take() []Mailbox {
	f.written = nil
	in, err := os.Open(f.name)
	if err != nil {
		return nil
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxOctets+1))
	if os.Remove(f.name) != nil || err != nil {
		return nil
	}
	list, err := decode(b)
	if err != nil {
		return nil
	}
	return list
}

// Write puts a list in the place of the one that was there. What is beyond the
// limits is left out.
func (f *File) Write(list []Mailbox) error {
	b := encode(list)
	if f.written != nil && bytes.Equal(b, f.written) {
		return nil
	}
	f.written = nil
	beside := f.name + ".new"
	if err := os.WriteFile(beside, b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(beside, f.name); err != nil {
		return err
	}
	f.written = b
	return nil
}

const (
	format = 1
	// lastAccount is the highest number that an account may have; see store/keys.
	lastAccount = 1<<56 - 1
	// maxOctets is more than the longest list takes.
	maxOctets = 1 + 3 + MaxMailboxes*(8+5+1+MaxStretches*(1+5+5)) + 8
)

var errCorrupt = errors.New("opened: list is corrupt")

func encode(list []Mailbox) []byte {
	list = list[:min(len(list), MaxMailboxes)]
	b := binary.AppendUvarint([]byte{format}, uint64(len(list)))
	for i := range list {
		m := &list[i]
		b = binary.AppendUvarint(b, uint64(m.Account))
		b = binary.AppendUvarint(b, uint64(m.Mailbox))
		stretches := m.Stretches[:min(len(m.Stretches), MaxStretches)]
		b = binary.AppendUvarint(b, uint64(len(stretches)))
		for _, s := range stretches {
			b = binary.AppendUvarint(append(b, s.Kind), uint64(s.First))
			b = binary.AppendUvarint(b, uint64(s.Last-s.First))
		}
	}
	return sealed(b)
}

// sealed adds the checksum.
func sealed(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b)) }

func decode(b []byte) ([]Mailbox, error) {
	if len(b) < 1+8 || len(b) > maxOctets || b[0] != format {
		return nil, errCorrupt
	}
	end := len(b) - 8
	if binary.LittleEndian.Uint64(b[end:]) != xxhash.Sum64(b[:end]) {
		return nil, errCorrupt
	}
	r := reader{b: b[1:end]}
	list := make([]Mailbox, r.number(MaxMailboxes))
	for i := range list {
		m := &list[i]
		m.Account = mail.AccountID(r.number(lastAccount))
		m.Mailbox = mail.MailboxID(r.number(1<<32 - 1))
		for range r.number(MaxStretches) {
			s := Stretch{Kind: r.octet(), First: uint32(r.number(1<<32 - 1))}
			s.Last = s.First + uint32(r.number(uint64(1<<32-1-s.First)))
			m.Stretches = append(m.Stretches, s)
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errCorrupt
	}
	return list, nil
}

// A reader reads a list. What it gives behind its end, and of what is too large,
// is zero.
type reader struct {
	b   []byte
	bad bool
}

// number reads one that is not above most.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}
