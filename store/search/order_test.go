package search_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/store/mailbox"
	"waxwing/store/search"
)

// An order that is kept, and followed from change to change, is that which
// sorting anew gives; the same for threads.
func TestOrderFollows(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	h := newHouse(t)
	a := h.index.Account(1)
	view, err := h.mail.Open(t.Context(), h.inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	criteria := [][]abstract.SortKey{
		{{Field: abstract.SortSubject}}, {{Field: abstract.SortFrom, Reverse: true}, {Field: abstract.SortSubject}},
		{{Field: abstract.SortDate}}, {{Field: abstract.SortSize, Reverse: true}}, nil,
	}
	n := 0
	for round := range 40 {
		var some []string
		for range r.IntN(30) {
			some = append(some, compose(r, n))
			n++
		}
		h.add(some...)
		var gone []mail.UID
		for _, e := range view.Snapshot().Entries(0) {
			if r.IntN(20) == 0 {
				gone = append(gone, e.UID)
			}
		}
		before := view.Snapshot()
		if _, _, err := h.mail.Expunge(t.Context(), h.inbox, gone, mailbox.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
		if round == 20 {
			h.update(start)
		}
		for _, s := range []*mailbox.Snapshot{view.Snapshot(), before} { // a session may be behind
			fresh := search.New(nil, h.mailboxes, search.Options{}).Account(1)
			var places []int
			for i := range s.Len() {
				if r.IntN(3) == 0 {
					places = append(places, i)
				}
			}
			for _, keys := range criteria {
				for _, some := range [][]int{nil, places} {
					got, err := a.Order(t.Context(), s, some, keys)
					if err != nil {
						t.Fatal(err)
					}
					want, err := fresh.Order(t.Context(), s, some, keys)
					if err != nil {
						t.Fatal(err)
					}
					if some != nil && len(got) != len(some) || !slices.Equal(got, want) {
						t.Fatalf("round %d, %v: %v, want %v", round, keys, got, want)
					}
				}
			}
			got, err := a.Threads(t.Context(), s, nil, abstract.References)
			if err != nil {
				t.Fatal(err)
			}
			want, err := fresh.Threads(t.Context(), s, nil, abstract.References)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(flat(got)) != fmt.Sprint(flat(want)) {
				t.Fatalf("round %d: %v, want %v", round, flat(got), flat(want))
			}
		}
	}
}

// flat lists threads' places, with where they end.
func flat(list []*abstract.Node) (places []int32) {
	for _, n := range list {
		places = append(append(append(places, n.Place), flat(n.Children)...), -2)
	}
	return places
}
