package imap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/mailbox"
	"waxwing/store/sheaves"
)

// manyAnswers writes a message whose answers differ from those of all others.
func manyAnswers(i int) string {
	to := strings.Repeat(fmt.Sprintf("Person %d <p%d@example.test>, ", i, i), 1+i%3)
	if i%50 == 49 {
		to = strings.Repeat(to, 3000) // many may not be made at once
	}
	return fmt.Sprintf("From: \"Grüße \\\"%d\\\"\" <g@example.test>\r\nTo: %sb@example.test\r\nSubject: Nr. %d ä\r\n"+
		"Content-Type: text/plain; charset=utf-8; name=\"naïve %d\"\r\n\r\nText %d\r\n", i, to, i, i, i)
}

// What is kept of answers is what a message's facts give, whatever has come and
// gone meanwhile, and within its limit.
func TestReady(t *testing.T) {
	for _, limit := range []int64{1, 60 << 10, 64 << 20} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) { testReady(t, limit) })
	}
}

func testReady(t *testing.T, limit int64) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	door := New(h.mailboxes, h.blobs, Options{Answers: limit})
	session, err := door.Open(ctx, nil, sasl.Identity{Account: h.accounts["alice"]})
	h.must(err)
	defer session.Close()
	h.append(manyAnswers(0))
	box, err := session.Open(ctx, "INBOX")
	h.must(err)
	defer box.Close()
	r := rand.New(rand.NewPCG(1, uint64(limit)))
	answers := []imapserver.Answer{
		{Kind: imap.FetchEnvelope}, {Kind: imap.FetchEnvelope, UTF8: true}, {Kind: imap.FetchBodyStructure},
		{Kind: imap.FetchBodyStructure, UTF8: true}, {Kind: imap.FetchStructure}, {Kind: imap.FetchPreview}, {Kind: imap.FetchSnippet},
	}
	next := 1
	for range 12 {
		for range 1 + r.IntN(60) {
			h.append(manyAnswers(next))
			next++
		}
		s := box.Snapshot()
		var gone []mail.UID
		for i := range s.Len() {
			if r.IntN(8) == 0 {
				gone = append(gone, s.At(i).UID)
			}
		}
		_, err = box.SetFlags(ctx, gone, imapserver.FlagChange{Op: imap.StoreAdd, Flags: mail.Deleted})
		h.must(err)
		h.must(box.Expunge(ctx, gone))
		var entries []imapserver.Entry
		s = box.Snapshot()
		from := r.IntN(s.Len())
		for i := from; i < s.Len(); i++ {
			if r.IntN(6) > 0 {
				entries = append(entries, s.At(i))
			}
		}
		entries = append(entries, imapserver.Entry{UID: s.Status().UIDNext, Email: 1 << 40}) // purged
		for _, a := range answers {
			checkReady(t, box, a, entries)
		}
		checkAnswers(t, door.answers)
	}
}

func checkReady(t testing.TB, box imapserver.Mailbox, a imapserver.Answer, entries []imapserver.Entry) {
	t.Helper()
	var got [][]byte
	for len(entries) > 0 {
		var err error
		if got, err = box.Ready(t.Context(), a, entries, got[:0]); err != nil || len(got) == 0 || len(got) > len(entries) {
			t.Fatalf("%v: %d of %d, %v", a, len(got), len(entries), err)
		}
		for i, b := range got {
			facts, err := box.Facts(t.Context(), []mail.EmailID{entries[i].Email})
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			if facts[0] != nil {
				want = a.Append(nil, facts[0])
			}
			if !bytes.Equal(b, want) || (b == nil) != (want == nil) {
				t.Fatalf("%v of UID %d is %.200q, want %.200q", a, entries[i].UID, b, want)
			}
		}
		entries = entries[len(got):]
	}
}

// checkAnswers looks at the sums.
func checkAnswers(t *testing.T, a *answers) {
	t.Helper()
	size := int64(0)
	for el := a.used.Front(); el != nil; el = el.Next() {
		k := el.Value.(*keptSheaf)
		size += costOf(k.sheaf)
		if a.of[k.key] != el {
			t.Error("a sheaf is not where it belongs")
		}
	}
	if size != a.size || size > a.limit || len(a.of) != a.used.Len() {
		t.Errorf("%d octets in %d sheaves of %d, counted %d; the limit is %d", size, a.used.Len(), len(a.of), a.size, a.limit)
	}
}

// Sheaves that were used long ago give way, others do not.
func TestAnswersGiveWay(t *testing.T) {
	now := time.Now()
	a := newAnswers(4 * sheafCost)
	for i := range uint32(4) {
		if !a.room(sheafCost, now) {
			t.Fatalf("no room for sheaf %d", i)
		}
		a.put(sheafKey{number: i}, new(sheaves.Sheaf), 0, now)
	}
	if a.room(sheafCost, now.Add(recent-1)) {
		t.Error("a sheaf goes that has just been used")
	}
	later := now.Add(recent)
	if s, _ := a.get(sheafKey{number: 0}, later); s == nil {
		t.Error("sheaf 0 has gone")
	}
	if !a.room(2*sheafCost, later) || a.used.Len() != 2 || a.of[sheafKey{number: 0}] == nil || a.of[sheafKey{number: 3}] == nil {
		t.Errorf("%d sheaves are left", a.used.Len())
	}
	a.put(sheafKey{number: 3}, new(sheaves.Sheaf), 0, later) // in the place of the old one
	checkAnswers(t, a)
	if a.room(5*sheafCost, later.Add(2*recent)) || a.used.Len() != 0 {
		t.Error("there is room for more than the limit")
	}
}

// What is kept takes no memory for each message when it is asked for.
func BenchmarkReady(b *testing.B) {
	h := newHouse(b, mailbox.Options{})
	door := New(h.mailboxes, h.blobs, Options{})
	session, err := door.Open(b.Context(), nil, sasl.Identity{Account: h.accounts["alice"]})
	h.must(err)
	defer session.Close()
	for i := range 256 {
		h.append(short(i))
	}
	box, err := session.Open(b.Context(), "INBOX")
	h.must(err)
	defer box.Close()
	entries := make([]imapserver.Entry, box.Snapshot().Len())
	box.Snapshot().Read(entries, 0)
	run := func(name string, limit int64) {
		b.Run(name, func(b *testing.B) {
			door.answers = newAnswers(limit)
			b.ReportAllocs()
			var got [][]byte
			for b.Loop() {
				got, err = box.Ready(b.Context(), imapserver.Answer{Kind: imap.FetchEnvelope}, entries, got[:0])
				if err != nil || len(got) != len(entries) {
					b.Fatal(len(got), err)
				}
			}
		})
	}
	run("kept", 1<<30)
	run("made", 1)
}
