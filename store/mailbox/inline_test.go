package mailbox_test

import (
	"fmt"
	"strings"
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// Small messages come whole and in their order; large ones and missing ones
// are left out, and no more is read at a time than is bearable.
func TestReadInline(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	var ids []mail.EmailID
	var want []string
	for i := range 70 {
		size := []int{10, 70_000, 90_000, 200_000}[i%4] // one chunk, two, two, a blob
		text := fmt.Sprintf("Subject: %d\r\n\r\n", i%60) + strings.Repeat("z", size)
		ids = append(ids, h.add(t, mailbox.Inbox, text, 0).Email)
		if size == 200_000 {
			text = ""
		}
		want = append(want, text)
	}
	ids, want = append(ids, 1000), append(want, "")
	calls := 0
	for at := 0; at < len(ids); calls++ {
		got, err := h.ReadInline(ctx, ids[at:])
		if err != nil || len(got) == 0 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		for i, b := range got {
			if string(b) != want[at+i] {
				t.Errorf("message %d is %.50q, not %.50q", at+i, b, want[at+i])
			}
		}
		at += len(got)
	}
	if calls < 2 {
		t.Errorf("everything was read at a time")
	}
	if got, err := h.ReadInline(ctx, nil); err != nil || len(got) != 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
}
