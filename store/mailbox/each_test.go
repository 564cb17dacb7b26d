package mailbox_test

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

// EachFacts gives what Facts does, however the emails lie, and stops when it is
// asked to.
func TestEachFacts(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	var ids []mail.EmailID
	for i := range 60 {
		text := fmt.Sprintf("Subject: %d\r\nTo: %s\r\n\r\nbody", i, strings.Repeat("a@b, ", i*i*i%9000)) // some in several rows
		ids = append(ids, h.add(t, mailbox.Inbox, text, 0).Email)
	}
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	last := ids[len(ids)-1]
	for name, list := range map[string][]mail.EmailID{
		"in order":  ids,
		"backwards": backwards,
		"every other one": func() (l []mail.EmailID) {
			for i := 0; i < 60; i += 2 {
				l = append(l, ids[i])
			}
			return l
		}(),
		"far apart":        {ids[0], ids[30], last},
		"some are missing": append(append([]mail.EmailID{}, ids[:40]...), last+1, last+2, last+30),
		"none is there":    {last + 1, last + 2, last + 3, last + 4, last + 5, last + 6, last + 7, last + 8, last + 9, last + 10, last + 11, last + 12, last + 13, last + 14, last + 15, last + 16, last + 17},
		"twice the same":   append(slices.Clone(ids[:20]), ids[:20]...),
		"nothing":          nil,
	} {
		var want []*mailbox.Facts
		for len(want) < len(list) {
			more, err := h.Facts(ctx, list[len(want):])
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, more...)
		}
		calls := 0
		n, err := h.EachFacts(ctx, list, message.Everything, func(i int, f *mailbox.Facts) bool {
			if i != calls || !reflect.DeepEqual(f, want[i]) {
				t.Errorf("%s: call %d is of %d: %+v, want %+v", name, calls, i, f, want[i])
			}
			calls++
			return true
		})
		if err != nil || n != len(list) || calls != n {
			t.Errorf("%s: %d of %d, %d calls, %v", name, n, len(list), calls, err)
		}
		if len(list) > 2 {
			n, err = h.EachFacts(ctx, list, message.Everything, func(i int, _ *mailbox.Facts) bool { return i < 1 })
			if n != 2 || err != nil {
				t.Errorf("%s: stopped after %d, %v", name, n, err)
			}
		}
	}
}

// An email that cannot be read fails alone.
func TestEachFactsDamaged(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	var ids []mail.EmailID
	for i := range 40 {
		ids = append(ids, h.add(t, mailbox.Inbox, fmt.Sprintf("Subject: %d\r\n\r\n", i), 0).Email)
	}
	err := kv.Apply(ctx, h.db, keys.Account(h.ID()), func(tx kv.Txn) error {
		tx.Put(binary.BigEndian.AppendUint64([]byte{keys.Message}, uint64(ids[7])), []byte("nonsense"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]mail.EmailID{ids, {ids[30], ids[2], ids[7], ids[3]}, ids[7:], ids[7:9], ids[8:]} {
		want := slices.Index(list, ids[7])
		n, err := h.EachFacts(ctx, list, message.EnvelopeOnly, func(int, *mailbox.Facts) bool { return true })
		if want < 0 {
			want = len(list)
		}
		if n != want || (err != nil) != (want == 0) {
			t.Errorf("%d of %d, %v; want %d", n, len(list), err, want)
		}
	}
}
