package pop3server

import (
	"iter"
	"math/bits"

	"waxwing/mail"
)

// A maildrop is a Session with what the client has done to it so far.
type maildrop struct {
	session   Session
	deleted   marks
	retrieved marks

	// What STAT says: messages that are not marked as deleted.
	count int
	size  mail.ByteCount
}

func newMaildrop(s Session) *maildrop {
	d := &maildrop{session: s}
	d.restore()
	return d
}

// restore counts everything again, with nothing deleted.
func (d *maildrop) restore() {
	d.deleted = marks{}
	d.count, d.size = d.session.Len(), 0
	for i := range d.count {
		d.size += d.session.Size(i)
	}
}

func (d *maildrop) delete(i int) {
	d.deleted.set(i)
	d.count--
	d.size -= d.session.Size(i)
}

// marks is a set of messages. It takes memory with its first member.
type marks struct {
	words []uint64
	count int
}

func (m *marks) set(i int) {
	if w := i / 64; w >= len(m.words) {
		grown := make([]uint64, max(w+1, 2*len(m.words)))
		copy(grown, m.words)
		m.words = grown
	}
	if !m.has(i) {
		m.words[i/64] |= 1 << (i % 64)
		m.count++
	}
}

func (m *marks) has(i int) bool {
	return i/64 < len(m.words) && m.words[i/64]>>(i%64)&1 != 0
}

// all goes through the members in order.
func (m *marks) all() iter.Seq[int] { return m.without(marks{}) }

// without goes through the members that are not in other.
func (m *marks) without(other marks) iter.Seq[int] {
	return func(yield func(int) bool) {
		for w, word := range m.words {
			if w < len(other.words) {
				word &^= other.words[w]
			}
			for ; word != 0; word &= word - 1 {
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
