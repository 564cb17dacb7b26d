package imapserver

import (
	"math/rand/v2"
	"testing"

	"waxwing/mail"
)

// A uidRow is a mailbox of which only the UIDs matter.
type uidRow struct {
	Snapshot
	uids []mail.UID
}

func (r uidRow) Read(dst []Entry, i int) int {
	n := min(len(dst), len(r.uids)-i)
	for k := range n {
		dst[k].UID = r.uids[i+k]
	}
	return n
}

// Batches are all that was asked for, in order, and what is kept together is in one
// of them as far as it fits.
func TestBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		const size = 16
		var all uidRow
		uid, gap := mail.UID(r.IntN(40)), 1+r.IntN(3*size)
		for range r.IntN(200) {
			uid += 1 + mail.UID(r.IntN(gap))
			all.uids = append(all.uids, uid)
		}
		from := cursor{told: all}
		var want []int
		for at := 0; at < len(all.uids); {
			s := span{at, min(len(all.uids), at+1+r.IntN(100))}
			from.spans = append(from.spans, s)
			for ; at < s.to; at++ {
				want = append(want, at)
			}
			at += r.IntN(3)
		}
		whole := len(from.spans) == 1
		var b batch
		for len(want) > 0 {
			b.fill(&from, size)
			n := len(b.entries)
			if n == 0 || n > size || n > len(want) {
				t.Fatalf("%d messages of %d", n, len(want))
			}
			for i, place := range b.places {
				if place != want[i] || b.entries[i].UID != all.uids[place] {
					t.Fatalf("message %d has UID %d where %d is wanted", place, b.entries[i].UID, want[i])
				}
			}
			first, last := b.entries[0].UID, b.entries[n-1].UID
			if want = want[n:]; whole && len(want) > 0 && last/size == all.uids[want[0]]/size && last/size != first/size {
				t.Fatalf("UIDs %d to %d, and then %d", first, last, all.uids[want[0]])
			}
		}
		if b.fill(&from, size); len(b.entries) > 0 {
			t.Fatalf("%d messages too many", len(b.entries))
		}
	}
}
