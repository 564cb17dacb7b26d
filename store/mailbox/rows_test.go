package mailbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// Flags change in the same way whether the mailbox is open, open but behind,
// or closed, and whether the UIDs are close to each other or not.
func TestSetFlagsReadsRows(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := context.Background()
	const n = 300
	for i := range n {
		h.add(t, mailbox.Inbox, text(fmt.Sprint(i)), mail.Flags(i%3))
	}
	other := mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer other.Close()
	far := other.Account(1)
	var gone []mail.UID
	for i := mail.UID(5); i < n; i += 7 {
		gone = append(gone, i)
	}
	if _, _, err := h.Expunge(ctx, mailbox.Inbox, gone, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	type state struct {
		flags mail.Flags
		words string
	}
	want := make(map[mail.UID]state)
	for i := range mail.UID(n) {
		if uid := i + 1; !slices.Contains(gone, uid) {
			want[uid] = state{flags: mail.Flags(i % 3), words: "[]"}
		}
	}
	chance := rand.New(rand.NewPCG(3, 4))
	var open *mailbox.View
	for step := range 200 {
		switch {
		case step%20 == 10:
			open, _ = h.Open(ctx, mailbox.Inbox)
		case step%20 == 0 && open != nil:
			open.Close()
		}
		node := h.Account
		if chance.IntN(3) == 0 {
			node = far
		}
		uids := []mail.UID{mail.UID(chance.IntN(n)), mail.UID(n + chance.IntN(n)), mail.UID(chance.IntN(n))}
		if chance.IntN(2) == 0 {
			uids = uids[:0]
			for uid := mail.UID(chance.IntN(100)); len(uids) < 120; uid += mail.UID(1 + chance.IntN(2)) {
				uids = append(uids, uid)
			}
		}
		flag := []mail.Flags{mail.Seen, mail.Flagged, mail.Deleted}[chance.IntN(3)]
		word := mail.Keyword(fmt.Sprint("k", chance.IntN(3)))
		if _, err := node.SetFlags(ctx, mailbox.Inbox, uids, mailbox.FlagChange{
			Op: mailbox.FlagsReplace, Flags: flag, Keywords: []mail.Keyword{word},
		}); err != nil {
			t.Fatal(err)
		}
		for _, uid := range uids {
			if _, there := want[uid]; there {
				want[uid] = state{flag, fmt.Sprint([]mail.Keyword{word})}
			}
		}
	}
	v, err := far.Open(ctx, mailbox.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if v.Snapshot().Len() != len(want) {
		t.Errorf("%d entries, not %d", v.Snapshot().Len(), len(want))
	}
	for _, e := range v.Snapshot().Entries(0) {
		if got := (state{e.Flags, fmt.Sprint(far.Keywords(e.Keywords))}); got != want[e.UID] {
			t.Errorf("entry %d is %v, not %v", e.UID, got, want[e.UID])
		}
	}
	h.verify(t)
}
