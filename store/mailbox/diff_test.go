package mailbox_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// bruteDiff is Diff as simple as can be.
func bruteDiff(old, new *mailbox.Snapshot) mailbox.Delta {
	var d mailbox.Delta
	have := make(map[mail.UID]mailbox.Entry)
	for _, e := range new.Entries(0) {
		have[e.UID] = e
	}
	for _, e := range old.Entries(0) {
		now, ok := have[e.UID]
		if !ok {
			d.Vanished = append(d.Vanished, e.UID)
		} else if now.ModSeq != e.ModSeq || now.Flags != e.Flags || now.Keywords != e.Keywords {
			d.Changed = append(d.Changed, now)
		}
		delete(have, e.UID)
	}
	for _, e := range new.Entries(0) {
		if _, added := have[e.UID]; added {
			d.Added = append(d.Added, e)
		}
	}
	return d
}

// checkDiff checks Diff and Keeping between two snapshots of one view.
func checkDiff(t *testing.T, old, new *mailbox.Snapshot) {
	t.Helper()
	want, got := bruteDiff(old, new), mailbox.Diff(old, new)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("diff is %+v, not %+v", got, want)
	}
	kept := new.Keeping(old, append(slices.Clone(want.Vanished), 4_000_000))
	consistent(t, kept)
	d := bruteDiff(old, kept)
	if len(d.Vanished) != 0 || !reflect.DeepEqual(d.Changed, want.Changed) || !reflect.DeepEqual(d.Added, want.Added) {
		t.Fatalf("with vanished kept, the diff is %+v, not %+v", d, want)
	}
	if d := mailbox.Diff(kept, new); !slices.Equal(d.Vanished, want.Vanished) || d.Changed != nil || d.Added != nil {
		t.Fatalf("without them it is %+v", d)
	}
}

// Many blocks, so that edits meet their borders.
func TestDiffOfLargeMailbox(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	v := h.open(t, mailbox.Inbox)
	e := mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: h.stage(t, text("many"))}
	if _, err := h.Append(ctx, start, slices.Repeat([]mailbox.NewEntry{e}, 600)...); err != nil {
		t.Fatal(err)
	}
	var all []mail.UID
	for _, e := range v.Snapshot().Entries(0) {
		all = append(all, e.UID)
	}
	for range 4 {
		if _, err := h.Copy(ctx, start, mailbox.Inbox, all, mailbox.Inbox); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	snaps := []*mailbox.Snapshot{v.Snapshot()}
	for range 150 {
		s := v.Snapshot()
		var uids []mail.UID
		for range rnd.IntN(1 + rnd.IntN(60)) {
			uids = append(uids, s.At(rnd.IntN(s.Len())).UID)
		}
		var err error
		switch rnd.IntN(3) {
		case 0:
			_, _, err = h.Expunge(ctx, mailbox.Inbox, uids, mailbox.ExpungeOptions{})
		case 1:
			_, err = h.SetFlags(ctx, mailbox.Inbox, uids, mailbox.FlagChange{Op: mailbox.FlagsReplace, Flags: mail.Flags(rnd.IntN(4))})
		case 2:
			_, err = h.Move(ctx, start, mailbox.Inbox, uids, mailbox.Inbox)
		}
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, v.Snapshot())
		checkDiff(t, s, v.Snapshot())
		checkDiff(t, snaps[rnd.IntN(len(snaps))], v.Snapshot())
	}
	for _, s := range snaps {
		consistent(t, s) // old ones have not changed
	}
	h.check(t, v)
	h.verify(t)
}
