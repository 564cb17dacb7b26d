package mailbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// manyParts is a message of n parts.
func manyParts(n int) string {
	var b strings.Builder
	b.WriteString("Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--b\r\nContent-Type: application/x-%d; name=\"file %d\"\r\nContent-ID: <%d@example.test>\r\n\r\n%d\r\n", i, i, i, i)
	}
	b.WriteString("--b--\r\n")
	return b.String()
}

// manyRecipients is a message to n people.
func manyRecipients(n int) string {
	var b strings.Builder
	b.WriteString("Subject: recipients\r\nTo: a@example.test")
	for i := range n {
		fmt.Fprintf(&b, ",\r\n person%d@example.test", i)
	}
	b.WriteString("\r\n\r\nHello.\r\n")
	return b.String()
}

// What is known of a hostile message may be too much for one value. It is
// kept all the same.
func TestLargeStructure(t *testing.T) {
	ctx := t.Context()
	db := memkv.New()
	h := newHouseOn(t, db, mailbox.Options{Window: time.Hour})
	var ids []mail.EmailID
	for _, text := range []string{manyParts(4000), manyParts(4095), manyRecipients(20_000), manyParts(2000) + strings.Repeat("x", 100_000), text("small")} {
		ids = append(ids, h.add(t, mailbox.Inbox, text, mail.Seen).Email)
	}
	h.verify(t)
	for i, id := range ids {
		facts, err := h.Facts(ctx, []mail.EmailID{id})
		if err != nil {
			t.Fatal(err)
		}
		m := facts[0].Message
		switch i {
		case 0, 1, 3:
			if want := []int{4000, 4095, 0, 2000}[i]; len(m.Root.Parts) != want || m.Root.Parts[want-1].ID != fmt.Sprintf("<%d@example.test>", want-1) {
				t.Errorf("%d parts of %d", len(m.Root.Parts), want)
			}
		case 2:
			if n := len(m.Envelope.To); n < 1000 {
				t.Errorf("%d recipients", n)
			}
		}
		headers, err := h.ReadHeaders(ctx, []mail.EmailID{id}, 1<<20)
		if err != nil || int64(len(headers[0])) != m.Root.Body {
			t.Errorf("header of %d octets, not %d, %v", len(headers[0]), m.Root.Body, err)
		}
	}
	// All at once, or as many as are sensible.
	for asked, rest := 0, ids; len(rest) > 0; asked++ {
		facts, err := h.Facts(ctx, rest)
		if err != nil || len(facts) == 0 || asked > len(ids) {
			t.Fatalf("%d facts, %v", len(facts), err)
		}
		for i, f := range facts {
			if f.Email != rest[i] {
				t.Errorf("facts of %v, not %v", f.Email, rest[i])
			}
		}
		rest = rest[len(facts):]
	}
	// Nothing is left of them when they have been purged.
	uids := []mail.UID{1, 2, 3, 4, 5}
	if _, _, err := h.Expunge(ctx, mailbox.Inbox, uids, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := h.store.Purge(ctx, time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.verify(t)
	err := db.View(ctx, keys.Account(1), func(r kv.Reader) error {
		for it, err := range r.Scan([]byte{keys.Rest}, []byte{keys.Rest + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			t.Errorf("left: %x", it.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Headers come in their order whatever their size and wherever they lie.
func TestReadHeaders(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	var ids []mail.EmailID
	var want []string
	for i := range 60 {
		header := fmt.Sprintf("Subject: %d\r\nX-Long: %s\r\n", i, strings.Repeat("y\r\n ", i*i*10))
		body := "body"
		if i%3 == 0 {
			body = strings.Repeat("large ", 30_000)
		}
		want = append(want, header+"\r\n")
		ids = append(ids, h.add(t, mailbox.Inbox, header+"\r\n"+body, 0).Email, 1000)
	}
	for at := 0; at < len(ids); {
		got, err := h.ReadHeaders(ctx, ids[at:], 1<<20)
		if err != nil || len(got) == 0 {
			t.Fatalf("%d headers, %v", len(got), err)
		}
		for i, b := range got {
			if k := at + i; k%2 == 1 && b != nil || k%2 == 0 && string(b) != want[k/2] {
				t.Errorf("header %d is %.50q", k, b)
			}
		}
		at += len(got)
	}
	// A header without end.
	id := h.add(t, mailbox.Inbox, strings.Repeat("X-Y: z\r\n", 300_000), 0).Email
	got, err := h.ReadHeaders(ctx, []mail.EmailID{id}, 1<<20)
	if err != nil || len(got[0]) != 1<<20 {
		t.Errorf("%d octets, %v", len(got[0]), err)
	}
}

// BenchmarkReadHeaders reads what clients that show a list of messages ask
// for.
func BenchmarkReadHeaders(b *testing.B) {
	h := benchHouse(b)
	ids := make([]mail.EmailID, 256)
	for i := range ids {
		ids[i] = h.add(b, mailbox.Inbox, letter(i), 0).Email
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.ReadHeaders(context.Background(), ids, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// A message that is damaged spoils its own answer only.
func TestDamagedMessage(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	var ids []mail.EmailID
	for i := range 5 {
		ids = append(ids, h.add(t, mailbox.Inbox, text(fmt.Sprint(i))+strings.Repeat(fmt.Sprint(i), 200_000), 0).Email)
	}
	n := 0
	for stat, err := range h.blobs.List(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			if err := h.blobs.Delete(ctx, stat.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	good, bad := 0, 0
	for rest := ids; len(rest) > 0; {
		got, err := h.ReadHeaders(ctx, rest, 1<<20)
		if err != nil {
			bad++
			rest = rest[1:]
			continue
		}
		good += len(got)
		rest = rest[len(got):]
	}
	if good != 4 || bad != 1 {
		t.Errorf("%d can be read, %d cannot", good, bad)
	}
}
