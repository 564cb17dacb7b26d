package imap

import (
	"context"
	"sync"
	"time"
	"weak"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
	"waxwing/store/sheaves"
)

// A making is the memory in which answers are made that are not kept yet.
type making struct {
	missing []int // places in entries, and in what is given
	ids     []mail.EmailID
	octets  []byte
	ends    []int // in octets, for each of missing
	there   []bool
}

var makings = sync.Pool{New: func() any { return new(making) }}

// fewAnswers are not worth a sheaf; muchAnswer is how many octets are made at a
// time, since strangers' messages may have very long ones.
const (
	fewAnswers = 16
	muchAnswer = 1 << 20
)

// Ready implements imapserver.Mailbox.
func (f *folder) Ready(ctx context.Context, answer imapserver.Answer, entries []imapserver.Entry, got [][]byte) ([][]byte, error) {
	now := time.Now()
	m := makings.Get().(*making)
	defer m.release()
	m.missing, m.ids = m.missing[:0], m.ids[:0]
	key := sheafKey{view: weak.Make(f.view), answer: answer}
	for rest := entries; len(rest) > 0; {
		n := alike(rest)
		key.number = numberOf(&rest[0])
		s, _ := f.session.door.answers.get(key, now)
		if s == nil && n >= fewAnswers {
			s = f.recall(ctx, key, now)
		}
		for i := range rest[:n] {
			var b []byte
			if e := &rest[i]; s != nil {
				b = s.At(e.UID, e.Email)
			}
			if b == nil {
				m.missing, m.ids = append(m.missing, len(got)), append(m.ids, rest[i].Email)
			}
			got = append(got, b)
		}
		rest = rest[n:]
	}
	if len(m.missing) == 0 {
		return got, nil
	}
	n, err := m.make(ctx, f.session.account, answer)
	if err != nil && m.missing[0] == 0 {
		return nil, refuse(err)
	}
	if n < len(m.missing) {
		got = got[:m.missing[n]]
		m.missing = m.missing[:n]
	}
	for rest := 0; rest < len(m.missing); {
		rest = f.keep(m, rest, key, entries, got, now)
	}
	return got, nil
}

// numberOf gives the number of the sheaf that an entry belongs to.
func numberOf(e *imapserver.Entry) uint32 { return uint32(e.UID / sheaves.Size) }

// alike tells how many of the entries belong to the sheaf of the first.
func alike(entries []imapserver.Entry) int {
	n := 1
	for n < len(entries) && numberOf(&entries[n]) == numberOf(&entries[0]) {
		n++
	}
	return n
}

// make makes the answers that are missing, and tells how many.
func (m *making) make(ctx context.Context, a *mailbox.Account, answer imapserver.Answer) (int, error) {
	m.ends, m.there, m.octets = m.ends[:0], m.there[:0], m.octets[:0]
	n, err := a.EachFacts(ctx, m.ids, answer.Needs(), func(_ int, facts *mailbox.Facts) bool {
		if facts != nil {
			m.octets = answer.Append(m.octets, facts.Message)
		}
		m.ends, m.there = append(m.ends, len(m.octets)), append(m.there, facts != nil)
		return len(m.octets) < muchAnswer
	})
	return n, err
}

// release gives the memory back.
func (m *making) release() {
	if cap(m.octets) <= 2*muchAnswer {
		makings.Put(m)
	}
}

// octetsOf gives the i-th of the answers that have been made.
func (m *making) octetsOf(i int) []byte {
	from := 0
	if i > 0 {
		from = m.ends[i-1]
	}
	return m.octets[from:m.ends[i]]
}

// keep gives the answers from lo on whose UIDs belong to one sheaf, and keeps
// them there if there are enough of them. It tells where the next ones begin.
func (f *folder) keep(m *making, lo int, key sheafKey, entries []imapserver.Entry, got [][]byte, now time.Time) (hi int) {
	key.number = numberOf(&entries[m.missing[lo]])
	for hi = lo; hi < len(m.missing) && numberOf(&entries[m.missing[hi]]) == key.number; hi++ {
	}
	if hi-lo >= fewAnswers {
		all := f.session.door.answers
		old, stored := all.get(key, now)
		size := m.ends[hi-1] - m.ends[lo] + len(m.octetsOf(lo))
		if old != nil {
			size += len(old.Octets)
		}
		if all.room(sheafCost+int64(size), now) {
			s := m.sheaf(old, size, lo, hi, entries)
			all.put(key, s, stored, now)
			f.session.door.keeper.offer(f, key, s, stored)
			for _, at := range m.missing[lo:hi] {
				got[at] = s.At(entries[at].UID, entries[at].Email)
			}
			return hi
		}
	}
	for i := lo; i < hi; i++ {
		if m.there[i] {
			got[m.missing[i]] = append([]byte(nil), m.octetsOf(i)...)
		}
	}
	return hi
}

// sheaf makes a sheaf of answers, and of those of an old one: of size octets.
func (m *making) sheaf(old *sheaves.Sheaf, size, lo, hi int, entries []imapserver.Entry) *sheaves.Sheaf {
	s := &sheaves.Sheaf{Octets: make([]byte, 0, size)}
	var made [sheaves.Size]int // places in missing, from 1
	for i := lo; i < hi; i++ {
		if m.there[i] {
			e := &entries[m.missing[i]]
			made[e.UID%sheaves.Size], s.Emails[e.UID%sheaves.Size] = i+1, e.Email
		}
	}
	for slot := range sheaves.Size {
		if i := made[slot]; i > 0 {
			s.Octets = append(s.Octets, m.octetsOf(i-1)...)
		} else if old != nil && old.Emails[slot] != 0 {
			s.Emails[slot] = old.Emails[slot]
			s.Octets = append(s.Octets, old.At(mail.UID(slot), s.Emails[slot])...)
		}
		s.Ends[slot] = uint32(len(s.Octets))
	}
	return s
}
