package adminapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

const ann = "ann@example.test"

// furnished gives a house with one account, and its mailboxes by name.
func furnished(t *testing.T) (house, map[string]Mailbox) {
	t.Helper()
	h, ctx := open(t, t.TempDir()), t.Context()
	must(h.AddDomain(ctx, Domain{Name: "example.test"}))(t)
	must(h.AddAccount(ctx, NewAccount{Address: ann}))(t)
	return h, byName(t, h)
}

func byName(t *testing.T, h house) map[string]Mailbox {
	t.Helper()
	all := map[string]Mailbox{}
	for _, m := range must(h.Mailboxes(t.Context(), ann))(t) {
		all[m.Name] = m
	}
	return all
}

const testSource = "00112233445566778899aabbccddeeff"

func outgoing(text, item string, below uint32, flags []string, mailboxes ...uint32) Outgoing {
	m := Outgoing{Incoming: Incoming{Size: int64(len(text)), Internal: 1_000_000_000, Flags: flags}, Text: strings.NewReader(text)}
	for i, id := range mailboxes {
		m.Places = append(m.Places, Place{Mailbox: id, Source: testSource, Item: fmt.Sprint(item, "-", i), Below: below})
	}
	return m
}

func letter(subject string) string {
	return "From: bob@example.test\r\nMessage-ID: <" + subject + "@example.test>\r\nSubject: " + subject + "\r\n\r\nHello.\r\n"
}

func TestMessagesInAndOut(t *testing.T) {
	h, boxes := furnished(t)
	ctx := t.Context()
	lists := must(h.PutMailbox(ctx, ann, WantedMailbox{Name: "Lists/Go Nuts"}))(t)
	if !lists.Subscribed {
		t.Error("a new mailbox is not subscribed")
	}
	spare := must(h.PutMailbox(ctx, ann, WantedMailbox{Name: "Spam", Role: "junk"}))(t)
	if spare.Role != "" {
		t.Error("a role is given twice")
	}
	inbox := boxes["INBOX"].ID
	large := letter("large") + strings.Repeat("a long line\r\n", 20_000)
	send := func() []Outgoing {
		return []Outgoing{
			outgoing(letter("one"), "1", 0, []string{`\Seen`, "$Forwarded"}, inbox, lists.ID),
			outgoing(letter("two"), "2", 0, nil, inbox),
			outgoing(large, "3", 0, []string{`\Flagged`}, inbox),
			outgoing(letter("bad"), "4", 0, []string{"not a keyword"}, inbox),
			outgoing(letter("lost"), "5", 0, nil, 4711),
			outgoing("", "6", 0, nil, inbox),
		}
	}
	got := must(h.AddMessages(ctx, ann, send()))(t)
	want := []Outcome{{Imported: 2}, {Imported: 1}, {Imported: 1}, {}, {}, {Imported: 1}}
	for i, o := range got {
		if o.Imported != want[i].Imported || (o.Failed != "") != (i == 3 || i == 4) {
			t.Errorf("%d: %+v", i, o)
		}
	}
	again := must(h.AddMessages(ctx, ann, send()))(t)
	if again[0] != (Outcome{There: 2}) || again[2] != (Outcome{There: 1}) || again[4].Failed == "" {
		t.Errorf("again: %+v", again)
	}

	var entries []Entry
	for e := range h.Entries(ctx, ann, inbox) {
		entries = append(entries, e)
	}
	if len(entries) != 4 || !slices.Equal(entries[0].Flags, []string{`\Seen`, "$Forwarded"}) || entries[0].Internal != 1_000_000_000 {
		t.Errorf("%+v", entries)
	}
	var texts []string
	err := h.Messages(ctx, ann, inbox, []uint32{entries[2].UID, 99, entries[0].UID, entries[3].UID}, func(e Entry, r io.Reader) error {
		text, err := io.ReadAll(r)
		texts = append(texts, string(text))
		return err
	})
	if err != nil || len(texts) != 3 || texts[0] != large || texts[1] != letter("one") || texts[2] != "" {
		t.Errorf("%d messages, %v", len(texts), err)
	}
}

func TestTwinIsNotImported(t *testing.T) {
	h, boxes := furnished(t)
	ctx, inbox := t.Context(), boxes["INBOX"].ID
	must(h.AddMessages(ctx, ann, []Outgoing{outgoing(letter("one"), "1", 0, nil, inbox)}))(t)
	below := byName(t, h)["INBOX"].UIDNext
	got := must(h.AddMessages(ctx, ann, []Outgoing{
		outgoing("Received: elsewhere\r\n"+letter("one"), "other", below, nil, inbox),
		outgoing(letter("two"), "two", below, nil, inbox),
	}))(t)
	if got[0] != (Outcome{There: 1}) || got[1] != (Outcome{Imported: 1}) {
		t.Errorf("%+v", got)
	}
	if n := byName(t, h)["INBOX"].Messages; n != 2 {
		t.Errorf("%d messages", n)
	}
	n := 0
	for im, err := range h.Imported(ctx, ann, testSource) {
		if err != nil || im.UID == 0 {
			t.Error(im, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d remembered", n)
	}
}

func TestFollowSource(t *testing.T) {
	h, boxes := furnished(t)
	ctx, inbox := t.Context(), boxes["INBOX"].ID
	must(h.AddMessages(ctx, ann, []Outgoing{
		outgoing(letter("one"), "1", 0, []string{`\Flagged`, "Old"}, inbox),
		outgoing(letter("two"), "2", 0, []string{`\Seen`}, inbox),
		outgoing(letter("three"), "3", 0, nil, inbox),
	}))(t)
	// Somebody answers here what has been read there.
	account := must(h.dir.AccountByAddress(ctx, must(address(ann))(t)))(t)
	_, err := h.mail.Account(account.ID).SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Answered})
	if err != nil {
		t.Fatal(err)
	}
	done := must(h.FollowSource(ctx, ann, testSource, []SourceChange{
		{Item: "1-0", Flags: []string{`\Seen`, "New"}},
		{Item: "2-0", Gone: true},
		{Item: "unknown", Flags: []string{`\Seen`}},
	}))(t)
	if done.Changed != 1 || done.Expunged != 1 {
		t.Errorf("%+v", done)
	}
	var flags []string
	for e := range h.Entries(ctx, ann, inbox) {
		flags = append(flags, strings.Join(e.Flags, " "))
	}
	if !slices.Equal(flags, []string{`\Seen \Answered New`, ""}) {
		t.Errorf("%q", flags)
	}
	_, err = h.FollowSource(ctx, ann, "nonsense", nil)
	refused(t, err, http.StatusUnprocessableEntity, "32 hex digits")
}

func TestQuotaIsSaidOfEachMessage(t *testing.T) {
	h, boxes := furnished(t)
	ctx, inbox := t.Context(), boxes["INBOX"].ID
	quota := int64(1000)
	must(h.ChangeAccount(ctx, ann, AccountChange{Quota: &quota}))(t)
	got := must(h.AddMessages(ctx, ann, []Outgoing{
		outgoing(letter("one"), "1", 0, nil, inbox),
		outgoing(letter("two")+strings.Repeat("x", 2000), "2", 0, nil, inbox),
		outgoing(letter("three"), "3", 0, nil, inbox),
	}))(t)
	if got[0].Imported != 1 || !got[1].Quota || got[2].Imported != 1 {
		t.Errorf("%+v", got)
	}
}

func TestBadStreams(t *testing.T) {
	h, _ := furnished(t)
	for _, tt := range []struct{ body, say string }{
		{"{\"size\":10}\nshort", "0 mailboxes"},
		{"{\"size\":10,\"places\":[{\"mailbox\":1,\"source\":\"" + testSource + "\",\"item\":\"1\"}]}\nshort", "in the middle"},
		{"{\"size\":-1}\n", "-1 octets"},
		{"nonsense\n", "cannot be read"},
		{"{\"size\":1", "cannot be read"},
		{strings.Repeat(" ", 100_000) + "\n", "too long"},
	} {
		_, err := h.open(t.Context(), http.MethodPost, "/v1/accounts/"+ann+"/messages", "", bytes.NewReader([]byte(tt.body)))
		if err == nil || !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%.40q: %v", tt.body, err)
		}
	}
}
