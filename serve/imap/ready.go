package imap

import (
	"context"
	"sync"
	"time"
	"weak"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
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
	var s *sheaf
	for i := range entries {
		e := &entries[i]
		if n := uint32(e.UID / sheafSize); i == 0 || n != key.number {
			key.number = n
			s = f.session.door.answers.get(key, now)
		}
		var b []byte
		if s != nil {
			b = s.at(e)
		}
		if b == nil {
			m.missing, m.ids = append(m.missing, i), append(m.ids, e.Email)
		}
		got = append(got, b)
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
	key.number = uint32(entries[m.missing[lo]].UID / sheafSize)
	for hi = lo; hi < len(m.missing) && uint32(entries[m.missing[hi]].UID/sheafSize) == key.number; hi++ {
	}
	if hi-lo >= fewAnswers {
		all := f.session.door.answers
		old := all.get(key, now)
		size := m.ends[hi-1] - m.ends[lo] + len(m.octetsOf(lo))
		if old != nil {
			size += len(old.octets)
		}
		if all.room(sheafCost+int64(size), now) {
			s := m.sheaf(old, size, lo, hi, entries)
			all.put(key, s, now)
			for _, at := range m.missing[lo:hi] {
				got[at] = s.at(&entries[at])
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
func (m *making) sheaf(old *sheaf, size, lo, hi int, entries []imapserver.Entry) *sheaf {
	s := &sheaf{octets: make([]byte, 0, size)}
	var made [sheafSize]int // places in missing, from 1
	for i := lo; i < hi; i++ {
		if m.there[i] {
			e := &entries[m.missing[i]]
			made[e.UID%sheafSize], s.emails[e.UID%sheafSize] = i+1, e.Email
		}
	}
	for slot := range sheafSize {
		if i := made[slot]; i > 0 {
			s.octets = append(s.octets, m.octetsOf(i-1)...)
		} else if old != nil && old.emails[slot] != 0 {
			e := imapserver.Entry{UID: mail.UID(slot), Email: old.emails[slot]}
			s.octets, s.emails[slot] = append(s.octets, old.at(&e)...), e.Email
		}
		s.ends[slot] = uint32(len(s.octets))
	}
	return s
}
