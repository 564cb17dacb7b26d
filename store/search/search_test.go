package search_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/format/abstract"
	"waxwing/format/casemap"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
	"waxwing/store/search"
	"waxwing/test/engine"
)

var start = time.Unix(1_700_000_000, 0).UTC()

// A house is a store with one account, and its index.
type house struct {
	t         testing.TB
	db        kv.Store
	blobs     blob.Store
	mailboxes *mailbox.Store
	mail      *mailbox.Account
	index     *search.Index
	inbox     mail.MailboxID
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, db: engine.New(t), blobs: memblob.New(0)}
	h.mailboxes = mailbox.New(h.db, h.blobs, mailbox.Options{Window: time.Second})
	t.Cleanup(func() {
		if err := h.mailboxes.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.mailboxes.Create(t.Context(), 1, start, mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	h.mail = h.mailboxes.Account(1)
	h.index = search.New(h.db, h.mailboxes, search.Options{})
	info, err := h.mail.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	h.inbox = info.ID
	return h
}

// add appends messages.
func (h *house) add(texts ...string) []mail.EmailID {
	h.t.Helper()
	var ids []mail.EmailID
	for len(texts) > 0 {
		part := texts[:min(len(texts), 100)]
		texts = texts[len(part):]
		entries := make([]mailbox.NewEntry, len(part))
		for i, text := range part {
			b, err := blob.StageBytes(h.t.Context(), h.blobs, []byte(text))
			if err != nil {
				h.t.Fatal(err)
			}
			defer b.Close()
			entries[i] = mailbox.NewEntry{Mailbox: h.inbox, Body: b}
		}
		done, err := h.mail.Append(h.t.Context(), start, entries...)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, d := range done {
			ids = append(ids, d.Email)
		}
	}
	return ids
}

func (h *house) update(now time.Time) {
	h.t.Helper()
	if err := h.index.Update(h.t.Context(), 1, now); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) narrow(needle string) *search.Candidates {
	h.t.Helper()
	list, err := h.index.Account(1).Narrow(h.t.Context(), []abstract.Query{exactly(needle)})
	if err != nil {
		h.t.Fatal(err)
	}
	return list[0]
}

// exactly asks for a string.
func exactly(needle string) abstract.Query {
	return abstract.Query{Terms: []abstract.Term{{Text: casemap.String(needle)}}}
}

// A looker keeps the texts of a message, folded. It is an abstract.Sink.
type looker struct {
	texts [][]byte
	text  []byte
}

func (l *looker) Write(p []byte) { l.text = append(l.text, p...) }
func (l *looker) Enough() bool   { return false }
func (l *looker) End()           { l.texts, l.text = append(l.texts, l.text), nil }

// look gives the texts of a message.
func look(t testing.TB, text string) *looker {
	t.Helper()
	m, err := message.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	l := &looker{}
	abstract.Header(message.ParseHeader([]byte(text)[:m.Root.Body]), l)
	if err := abstract.Body(strings.NewReader(text), &m.Root, l); err != nil {
		t.Fatal(err)
	}
	return l
}

// has looks for a needle without an index.
func (l *looker) has(needle string) bool {
	folded := casemap.String(needle)
	return slices.ContainsFunc(l.texts, func(text []byte) bool { return bytes.Contains(text, folded) })
}

var words = strings.Fields(`the quick brown fox jumps over lazy dog Grüße größer Київ столиця日本語 テスト 한국어 naïve café
	invoice meeting tomorrow attached please regards forward reply unsubscribe newsletter ÉTÉ ﬁne ｆｕｌｌ`)

// compose makes a message of some kind or other.
func compose(r *rand.Rand, n int) string {
	var body strings.Builder
	for range r.IntN(200) {
		body.WriteString(words[r.IntN(len(words))])
		body.WriteByte(" \n"[r.IntN(8)/7])
	}
	fmt.Fprintf(&body, " number%dx\n", n)
	head := fmt.Sprintf("From: ann%d@example.test\r\nSubject: %s %s\r\nMessage-ID: <%d@x.test>\r\n",
		n%7, words[r.IntN(len(words))], words[r.IntN(len(words))], n)
	text := strings.ReplaceAll(body.String(), "\n", "\r\n")
	switch r.IntN(4) {
	case 0:
		return head + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text))
	case 1:
		return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text +
			"\r\n--b\r\nContent-Type: application/pdf; name=\"report" + fmt.Sprint(n) + ".pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n--b--\r\n"
	case 2:
		return head + "\r\n"
	}
	return head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + text
}

// What is found through the index is what is found by looking everywhere, at
// every size of it, with gaps, while it lags, and after it has been lost.
func TestSameAsLooking(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := newHouse(t)
	texts := map[mail.EmailID]*looker{}
	needles := append([]string{"number5x", "number77x", "report12.pdf", "hidden", "ann3@", "message-id: <1", "x", "", "fox jum", "\n", "日本", "語", "国", "한국", "ete", "e", "n@ex"}, words...)
	n := 0
	check := func(when string) {
		t.Helper()
		narrowed := 0
		for _, needle := range needles {
			c := h.narrow(needle)
			for id, text := range texts {
				found := text.has(needle)
				if found && !may(c, id) {
					t.Fatalf("%s: email %d has %q and is no candidate", when, id, needle)
				}
				if !may(c, id) {
					narrowed++
				}
			}
		}
		t.Logf("%s: %d emails, %d of %d ruled out", when, len(texts), narrowed, len(texts)*len(needles))
	}
	for round := range 9 {
		var some []string
		for range 1 + r.IntN(150) {
			some = append(some, compose(r, n))
			n++
		}
		for i, id := range h.add(some...) {
			texts[id] = look(t, some[i])
		}
		if round%4 != 3 {
			h.update(start)
		}
		if round%3 == 0 {
			check(fmt.Sprintf("round %d", round))
		}
	}
	if err := h.index.Drop(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	check("dropped")
	h.update(start)
	check("built anew")
}

// The rows are those that would be made of the messages, stored or not.
func TestRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	h := newHouse(t)
	var texts []string
	for i := range 300 {
		texts = append(texts, compose(r, i))
	}
	ids := h.add(texts[:200]...)
	check := func() {
		t.Helper()
		rows, err := h.index.Account(1).Rows(t.Context(), append(ids, 1<<40))
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			m, err := message.Parse(strings.NewReader(texts[i]))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rows[i], abstract.Make(m)) {
				t.Fatalf("email %d: %q", id, rows[i])
			}
		}
		if rows[len(ids)] != nil {
			t.Fatal("a row of no email")
		}
	}
	check()
	h.update(start)
	check()
	ids = append(ids, h.add(texts[200:]...)...)
	check()
	h.index = search.New(h.db, h.mailboxes, search.Options{Memory: 1000}) // too little to keep them
	check()
	h.update(start)
	check()
}

// What is purged leaves the index.
func TestPrune(t *testing.T) {
	h := newHouse(t)
	var texts []string
	for i := range 400 {
		texts = append(texts, compose(rand.New(rand.NewPCG(5, uint64(i))), i))
	}
	ids := h.add(texts...)
	h.update(start)
	view, err := h.mail.Open(t.Context(), h.inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	var gone []mail.UID
	for i, e := range view.Snapshot().Entries(0) {
		if i%3 != 0 {
			gone = append(gone, e.UID)
		}
	}
	if _, _, err := h.mail.Expunge(t.Context(), h.inbox, gone, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := h.mailboxes.Purge(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	before := size(t, h.db, 0)
	h.update(later.Add(48 * time.Hour))
	if rows := size(t, h.db, keys.IndexAbstract); rows >= 400*200/2 {
		t.Errorf("%d octets of abstracts are left", rows)
	}
	if after := size(t, h.db, 0); after > before*2/3 {
		t.Errorf("%d octets before, %d after", before, after)
	}
	for i, id := range ids {
		needle := fmt.Sprintf("number%dx", i)
		if i%3 == 0 && look(t, texts[i]).has(needle) && !may(h.narrow(needle), id) {
			t.Errorf("email %d is lost", id)
		}
	}
}

// size adds up the rows of an index under a prefix; 0 for all.
func size(t testing.TB, db kv.Store, prefix byte) int {
	t.Helper()
	n := 0
	err := db.View(context.Background(), keys.Index(1), func(r kv.Reader) error {
		n = 0
		for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if prefix == 0 || it.Key[0] == prefix {
				n += len(it.Key) + len(it.Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// may tells whether an email is a candidate.
func may(c *search.Candidates, id mail.EmailID) bool {
	yes, _ := c.May(id)
	return yes
}
