package imap

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

// allAnswers are all kinds of answers that are kept.
func allAnswers() (list []imapserver.Answer) {
	for _, kind := range []imap.FetchKind{
		imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchStructure, imap.FetchPreview, imap.FetchSnippet,
	} {
		list = append(list, imapserver.Answer{Kind: kind}, imapserver.Answer{Kind: kind, UTF8: true})
	}
	return list
}

// start opens alice's INBOX through a door that has just been made.
func (h *house) start() (*Door, imapserver.Mailbox) {
	h.t.Helper()
	door := New(h.mailboxes, h.blobs, Options{Stored: h.db})
	session, err := door.Open(h.t.Context(), nil, sasl.Identity{Account: h.accounts["alice"]})
	h.must(err)
	box, err := session.Open(h.t.Context(), "INBOX")
	h.must(err)
	h.t.Cleanup(func() { box.Close(); session.Close() })
	return door, box
}

// finish has a door store what it keeps.
func (h *house) finish(d *Door) {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	stop()
	h.must(d.Run(ctx))
}

func entriesIn(box imapserver.Mailbox) []imapserver.Entry {
	entries := make([]imapserver.Entry, box.Snapshot().Len())
	box.Snapshot().Read(entries, 0)
	return entries
}

// recalled tells how many sheaves a door has found, and not made.
func (d *Door) recalled() (n int) {
	for el := d.answers.used.Front(); el != nil; el = el.Next() {
		if el.Value.(*keptSheaf).stored > 0 {
			n++
		}
	}
	return n
}

// What one door has stored the next one finds, and what it finds is right,
// whatever has come and gone meanwhile.
func TestKeeper(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	const first, more = 300, 40
	for i := range first {
		h.append(short(i))
	}
	h.append(manyAnswers(1), manyAnswers(49), manyAnswers(2)) // one of them has very long ones
	door, box := h.start()
	for _, a := range allAnswers() {
		checkReady(t, box, a, entriesIn(box))
	}
	if n := door.recalled(); n > 0 {
		t.Errorf("%d sheaves are found before any was stored", n)
	}
	h.finish(door)

	door, box = h.start()
	for i := range more {
		h.append(manyAnswers(100 + i))
	}
	var gone []mail.UID
	for i := range first / 3 {
		gone = append(gone, mail.UID(1+3*i))
	}
	_, err := box.SetFlags(ctx, gone, imapserver.FlagChange{Op: imap.StoreAdd, Flags: mail.Deleted})
	h.must(err)
	h.must(box.Expunge(ctx, gone))
	for _, a := range allAnswers() {
		checkReady(t, box, a, entriesIn(box))
		checkReady(t, box, a, entriesIn(box)[:20])
	}
	if n, least := door.recalled(), len(allAnswers()); n < least {
		t.Errorf("%d sheaves are found, of %d at least", n, least)
	}
	h.finish(door)

	// The mailbox goes, and another by its name comes.
	a := h.mailboxes.Account(h.accounts["alice"])
	h.must(a.RenameMailbox(ctx, "INBOX", "Old")) // which leaves an empty INBOX
	for i := range first {
		h.append(short(1000 + i))
	}
	door, box = h.start()
	for _, a := range allAnswers() {
		checkReady(t, box, a, entriesIn(box))
	}
	h.finish(door)
	if h.sheafRows() == 0 {
		t.Error("nothing is stored")
	}
	h.must(h.mailboxes.Delete(ctx, a.ID()))
	h.finish(door)
	if n := h.sheafRows(); n > 0 {
		t.Errorf("%d rows are left of an account that is gone", n)
	}
}

// sheafRows counts what is stored of alice's answers.
func (h *house) sheafRows() (n int) {
	h.t.Helper()
	h.must(h.db.View(h.t.Context(), keys.Index(h.accounts["alice"]), func(r kv.Reader) error {
		n = 0
		for _, err := range r.Scan([]byte{keys.IndexSheaf}, []byte{keys.IndexSheaf + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

// Answers that are being stored while their account goes do not outlive it.
func TestKeeperOfAccountThatGoes(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	for i := range 20 {
		h.append(short(i))
	}
	door, box := h.start()
	checkReady(t, box, imapserver.Answer{Kind: imap.FetchEnvelope}, entriesIn(box))
	h.must(h.mailboxes.Delete(t.Context(), h.accounts["alice"]))
	h.finish(door)
	if n := h.sheafRows(); n > 0 {
		t.Errorf("%d rows are left", n)
	}
}

// Sheaves of messages that have gone are removed when others are stored.
func TestKeeperPrunes(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	for i := range 600 {
		h.append(short(i))
	}
	envelopes := imapserver.Answer{Kind: imap.FetchEnvelope}
	door, box := h.start()
	checkReady(t, box, envelopes, entriesIn(box))
	h.finish(door)
	before := h.sheafRows()
	var gone []mail.UID
	for uid := range mail.UID(512) {
		gone = append(gone, uid+1)
	}
	_, err := box.SetFlags(ctx, gone, imapserver.FlagChange{Op: imap.StoreAdd, Flags: mail.Deleted})
	h.must(err)
	h.must(box.Expunge(ctx, gone))
	door.keeper.pruned[h.accounts["alice"]] = time.Time{}
	checkReady(t, box, imapserver.Answer{Kind: imap.FetchPreview}, entriesIn(box))
	h.finish(door)
	if n := h.sheafRows(); n >= before {
		t.Errorf("%d rows, %d before", n, before)
	}
}

// Stored answers are those of this edition. When this test fails because answers
// are written in another way than before, answersEdition is to be counted up and
// the file made anew, by removing it.
func TestEdition(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	for i := range 4 {
		h.append(short(i), manyAnswers(i))
	}
	h.append("From: a@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nOne\r\n--b\r\n"+
		"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=\"n\u00e4me\"\r\nContent-Language: de, en\r\n\r\n"+
		"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nTwo\r\n--b--\r\n",
		"Subject: \u00e4\r\nFrom: Group: a@example.test, =?utf-8?q?=C3=BC?= <b@example.test>;\r\nIn-Reply-To: <x@y>\r\n\r\n<p>x</p>")
	_, box := h.start()
	got := fmt.Appendf(nil, "edition %d\n", answersEdition)
	for _, a := range allAnswers() {
		list, err := box.Ready(t.Context(), a, entriesIn(box), nil)
		h.must(err)
		for i, b := range list {
			got = fmt.Appendf(got, "%d %v %d %q\n", a.Kind, a.UTF8, i+1, b)
		}
	}
	file := filepath.Join("testdata", "edition.txt")
	want, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		h.must(os.WriteFile(file, got, 0o644))
		want = got
	} else {
		h.must(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("answers are not those of the edition (see above), from %.200q on, not %.200q", got[at:], want[at:])
	}
}
