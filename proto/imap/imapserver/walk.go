package imapserver

import "waxwing/mail"

// A walk finds entries of a snapshot by UIDs that mostly come in their order:
// it looks where the last one was first.
type walk struct {
	of   Snapshot
	have []Entry // of buf
	buf  []Entry // longer with each time that it is used up
}

// find gives an entry, until the next call; nil if there is none.
func (w *walk) find(uid mail.UID) *Entry {
	for len(w.have) > 0 && w.have[0].UID < uid {
		w.have = w.have[1:]
	}
	if len(w.have) == 0 || w.have[0].UID > uid {
		i, found := w.of.Find(uid)
		if !found {
			return nil
		}
		if n := len(w.buf); n < readAtOnce {
			w.buf = make([]Entry, max(1, 8*n))
		}
		w.have = w.buf[:w.of.Read(w.buf, i)]
	}
	return &w.have[0]
}

// A march tells whether a list has UIDs that come in their order, as the list
// is.
type march struct{ list []mail.UID }

func (m *march) has(uid mail.UID) bool {
	for len(m.list) > 0 && m.list[0] < uid {
		m.list = m.list[1:]
	}
	return len(m.list) > 0 && m.list[0] == uid
}
