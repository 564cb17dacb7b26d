package imap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/store/search"
)

// BenchmarkSearch searches, sorts and threads 5,000 messages of 8 KiB, all
// indexed. WAXWING_TEST_STORE=pebble: puts them on a disk.
func BenchmarkSearch(b *testing.B) {
	const messages = 5000
	h := newHouse(b, mailbox.Options{})
	alice := h.accounts["alice"]
	r := rand.New(rand.NewPCG(5, 5))
	words := make([]string, 20_000)
	for i := range words {
		w := make([]byte, 3+r.IntN(8))
		for k := range w {
			w[k] = "eetaoinshrdlucmfwypvbgkjqxz"[int(27*r.Float64()*r.Float64())]
		}
		words[i] = string(w)
	}
	word := func() string { x := r.Float64(); return words[int(x*x*x*float64(len(words)))] }
	letter := func(i int) string {
		var t strings.Builder
		fmt.Fprintf(&t, "From: %s <%s@a.test>\r\nSubject: %s %s\r\nMessage-ID: <%d@x>\r\nReferences: <%d@x>\r\n\r\n", word(), word(), word(), word(), i, i/3)
		if i%2 == 0 {
			t.WriteString("everyother ")
		}
		for t.Len() < 8<<10 {
			t.WriteString(word() + " ")
		}
		return t.String() + "\r\n"
	}
	h.appendMany(alice, messages, letter)
	index := search.New(memkv.New(), h.mailboxes, search.Options{})
	if err := index.Update(b.Context(), alice, time.Now()); err != nil {
		b.Fatal(err)
	}
	do := h.commands(alice, index)
	for _, command := range []string{"SEARCH BODY everyother", "SEARCH TEXT everyother"} {
		b.Run("first "+command, func(b *testing.B) { // nothing of it has been found out before
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range 20 {
					do(fmt.Sprintf("SEARCH TEXT zzqqxx%d", i))
				}
				b.StartTimer()
				do(command)
			}
		})
	}
	for _, command := range []string{
		"SEARCH SUBJECT nothinglikeit", "SEARCH BODY xyzzyplugh", "SEARCH TEXT xyzzyplugh", "SEARCH BODY everyother", "SEARCH TEXT everyother",
		"SEARCH FUZZY TEXT everyoter",
		"SORT (SUBJECT) UTF-8 ALL", "SORT (REVERSE DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 1:2000", "THREAD REFERENCES UTF-8 ALL", "THREAD REFS UTF-8 2:*",
	} {
		b.Run(command, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do(command)
			}
		})
	}
}

// appendMany puts messages into an INBOX, a hundred at a time.
func (h *house) appendMany(id mail.AccountID, n int, text func(i int) string) {
	h.t.Helper()
	ctx := context.Background()
	a := h.mailboxes.Account(id)
	info, err := a.Mailbox(ctx, "INBOX")
	h.must(err)
	for i := 0; i < n; {
		var entries []mailbox.NewEntry
		for ; i < n && len(entries) < 100; i++ {
			body, err := blob.StageBytes(ctx, h.blobs, []byte(text(i)))
			h.must(err)
			defer body.Close() //nolint:errcheck // it has been kept
			entries = append(entries, mailbox.NewEntry{Mailbox: info.ID, Body: body})
		}
		_, err = a.Append(ctx, time.Now(), entries...)
		h.must(err)
	}
}
