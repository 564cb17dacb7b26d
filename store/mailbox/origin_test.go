package mailbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

func TestOriginHappensOnce(t *testing.T) {
	h, ctx := newHouse(t, mailbox.Options{}), t.Context()
	source := mailbox.SourceID{1}
	var entries []mailbox.NewEntry
	for i := range 3 {
		entries = append(entries, mailbox.NewEntry{
			Mailbox: mailbox.Inbox, Body: h.stage(t, text(fmt.Sprint("m", i))), Flags: mail.Seen,
			Keywords: []mail.Keyword{"$Forwarded", "Work"}, Origin: &mailbox.Origin{Source: source, Item: fmt.Sprint("item", i)},
		})
	}
	first, err := h.Append(ctx, start, entries...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{first[1].UID}, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	again, err := h.Append(ctx, start.AddDate(5, 0, 0), entries...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].UID != first[i].UID || again[i].Email != first[i].Email {
			t.Errorf("%d: %+v, first %+v", i, again[i], first[i])
		}
	}
	info, err := h.Mailbox(ctx, "INBOX")
	if err != nil || info.Messages != 2 {
		t.Errorf("%d messages, %v", info.Messages, err)
	}
	found, err := h.FindImported(ctx, []mailbox.Origin{{Source: source, Item: "item2"}, {Source: mailbox.SourceID{2}, Item: "item2"}})
	if err != nil || found[0] == nil || found[1] != nil || found[0].UID != first[2].UID ||
		found[0].Flags != mail.Seen || !slices.Equal(found[0].Keywords, []mail.Keyword{"$Forwarded", "Work"}) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := h.FindImported(ctx, []mailbox.Origin{{Source: source, Item: strings.Repeat("x", 41)}}); err == nil {
		t.Error("a long item is taken")
	}
}

func TestImportedList(t *testing.T) {
	h, ctx := newHouse(t, mailbox.Options{}), t.Context()
	source := mailbox.SourceID{7}
	var list []mailbox.Imported
	for i := range 2500 {
		list = append(list, mailbox.Imported{Item: fmt.Sprintf("%05d", i), Mailbox: 1, UID: mail.UID(i + 1), Flags: mail.Flagged})
	}
	if err := h.Remember(ctx, source, list...); err != nil {
		t.Fatal(err)
	}
	if err := h.ForgetImported(ctx, source, "00007"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for im, err := range h.Imported(ctx, source) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 7 {
			n++
		}
		if im.Item != list[n].Item || im.UID != list[n].UID || im.Flags != mail.Flagged {
			t.Fatalf("%d: %+v", n, im)
		}
		n++
	}
	if n != 2500 {
		t.Errorf("%d items", n)
	}
	if err := h.Verify(ctx); err != nil {
		t.Error(err)
	}
}

func TestTwins(t *testing.T) {
	h, ctx := newHouse(t, mailbox.Options{}), t.Context()
	const id = "Message-ID: <one@example.test>\r\n"
	one := h.add(t, mailbox.Inbox, "Received: here\r\n"+text("one", id), 0)
	h.add(t, mailbox.Inbox, text("Re: one", "In-Reply-To: <one@example.test>\r\nMessage-ID: <two@example.test>\r\n"), 0)
	bare := h.add(t, mailbox.Inbox, text("bare"), 0)
	large := h.add(t, mailbox.Inbox, text("large", "Message-ID: <three@example.test>\r\n")+strings.Repeat("x", 300_000), 0)

	ask := func(below mail.UID, text string) mail.UID {
		t.Helper()
		body := h.stage(t, text)
		parsed, err := parse(body)
		if err != nil {
			t.Fatal(err)
		}
		found, err := h.Twins(ctx, mailbox.Inbox, below, []mailbox.Candidate{{Body: body, Parsed: parsed}})
		if err != nil {
			t.Fatal(err)
		}
		return found[0].UID
	}
	for _, tt := range []struct {
		what  string
		text  string
		below mail.UID
		want  mail.UID
	}{
		{"other fields on the way", "Received: there, quite a long way\r\n" + text("one", id), 9, one.UID},
		{"another body", text("one", id) + "more\r\n", 9, 0},
		{"came after", text("one", id), one.UID, 0},
		{"no Message-ID", text("bare"), 9, bare.UID},
		{"no Message-ID, same length", text("bars"), 9, 0},
		{"large", text("large", "Message-ID: <three@example.test>\r\n") + strings.Repeat("x", 300_000), 9, large.UID},
		{"large, another end", text("large", "Message-ID: <three@example.test>\r\n") + strings.Repeat("x", 299_999) + "y", 9, 0},
	} {
		if got := ask(tt.below, tt.text); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
		}
	}
}

func parse(b *blob.Staged) (*message.Message, error) { return message.Parse(b.Reader()) }
