package imapserver

import (
	"iter"
	"slices"
	"strconv"

	"waxwing/mail"
	"waxwing/proto/imap"
)

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// A span is a run of places in the view, from 0; to is not in it.
type span struct{ from, to int }

// readAtOnce is how many entries are copied out of a snapshot at a time.
const readAtOnce = 64

// entries goes through the entries of a span, with their places.
func entries(s Snapshot, in span) iter.Seq2[int, *Entry] {
	return func(yield func(int, *Entry) bool) {
		buf := make([]Entry, min(readAtOnce, max(0, in.to-in.from)))
		for i := in.from; i < in.to; {
			n := s.Read(buf[:min(len(buf), in.to-i)], i)
			if n == 0 {
				return
			}
			for k := range n {
				if !yield(i+k, &buf[k]) {
					return
				}
			}
			i += n
		}
	}
}

// resolve gives the places that a set means in the view, in order. A sequence
// number that is not in the mailbox is the client's mistake; a UID that is
// not there means nothing. RFC 9051 §9, seq-number
func (v *view) resolve(set imap.Set, uid bool) ([]span, error) {
	if set.Saved {
		return v.places(v.saved), nil
	}
	n := v.told.Len()
	if !uid {
		var spans []span
		for _, r := range set.Resolve(uint32(n)) {
			if r.From == 0 || int64(r.To) > int64(n) {
				return nil, &imap.SyntaxError{Text: "No such message in the mailbox"}
			}
			spans = append(spans, span{int(r.From) - 1, int(r.To)})
		}
		return spans, nil
	}
	if n == 0 {
		return nil, nil
	}
	var spans []span
	for _, r := range set.Resolve(uint32(v.told.At(n - 1).UID)) {
		from, _ := v.told.Find(mail.UID(r.From))
		to, found := v.told.Find(mail.UID(r.To))
		if found {
			to++
		}
		if from < to {
			spans = append(spans, span{from, to})
		}
	}
	return spans, nil
}

// within gives the places that sequence numbers mean, and passes over those
// that there are not.
//
// QUIRK: to FETCH 9 of eight messages is a mistake, but clients search 1:* in
// mailboxes that may be empty, and elsewhere find nothing.
func (v *view) within(set imap.Set) []span {
	n := v.told.Len()
	var spans []span
	for _, r := range set.Resolve(uint32(n)) {
		if from, to := max(int(r.From), 1)-1, int(min(r.To, uint32(n))); from < to {
			spans = append(spans, span{from, to})
		}
	}
	return spans
}

// places gives the spans of UIDs in ascending order; those that are gone are
// passed over.
func (v *view) places(uids []mail.UID) []span {
	var spans []span
	for _, uid := range uids {
		i, found := v.told.Find(uid)
		if !found {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].to == i {
			spans[n-1].to++
		} else {
			spans = append(spans, span{i, i + 1})
		}
	}
	return spans
}

// uids gives the UIDs in spans.
func (v *view) uids(spans []span) []mail.UID {
	n := 0
	for _, s := range spans {
		n += s.to - s.from
	}
	uids := make([]mail.UID, 0, n)
	for _, s := range spans {
		for _, e := range entries(v.told, s) {
			uids = append(uids, e.UID)
		}
	}
	return uids
}

// missing tells whether a place in spans is of a message that has been
// expunged, of which the client has not heard.
func (v *view) missing(spans []span) bool {
	newest := v.mailbox.Snapshot()
	if newest == v.told {
		return false
	}
	return slices.ContainsFunc(spans, func(s span) bool {
		for _, e := range entries(v.told, s) {
			if _, found := newest.Find(e.UID); !found {
				return true
			}
		}
		return false
	})
}
