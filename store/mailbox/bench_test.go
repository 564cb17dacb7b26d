package mailbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

func benchHouse(b *testing.B) *house {
	db, err := pebblekv.Open(b.TempDir(), pebblekv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return newHouseOn(b, db, mailbox.Options{})
}

// BenchmarkRawAppend is the yardstick: the same writers append 4 KiB to a
// file and share its fdatasyncs.
func BenchmarkRawAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			var mu sync.Mutex
			var syncing sync.Mutex
			var written, synced atomic.Int64
			buf := make([]byte, 4096)
			run(b, writers, func(int) {
				mu.Lock()
				f.Write(buf)
				mine := written.Add(1)
				mu.Unlock()
				syncing.Lock()
				if synced.Load() < mine {
					upTo := written.Load()
					f.Sync()
					synced.Store(upTo)
				}
				syncing.Unlock()
			})
		})
	}
}

// run has writers do b.N things.
func run(b *testing.B, writers int, do func(i int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				do(int(i))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func letter(i int) string {
	return fmt.Sprintf("From: Ann <ann@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: letter %d\r\n"+
		"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <%d@example.test>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n", i, i) + strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 85)
}

// BenchmarkAppend delivers letters of 4 KiB: staged and parsed, as doors do.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name              string
		writers, accounts int
		watched           bool
	}{{"writers=1", 1, 1, false}, {"writers=64/accounts=64", 64, 64, false}, {"writers=64/accounts=1", 64, 1, false}, {"writers=64/accounts=1/watched", 64, 1, true}} {
		b.Run(c.name, func(b *testing.B) {
			h := benchHouse(b)
			ctx := context.Background()
			var accounts []*mailbox.Account
			for i := range c.accounts {
				id := mail.AccountID(i + 1)
				if err := h.store.Create(ctx, id, start, mailbox.AccountOptions{}); err != nil {
					b.Fatal(err)
				}
				accounts = append(accounts, h.store.Account(id))
			}
			if c.watched {
				h.open(b, mailbox.Inbox)
			}
			run(b, c.writers, func(i int) {
				text := letter(i)
				body := blob.Stage(ctx, h.blobs)
				defer body.Close()
				p := message.NewParser()
				body.Write([]byte(text))
				p.Write([]byte(text))
				if err := body.Finish(); err != nil {
					b.Error(err)
				}
				_, err := accounts[i%len(accounts)].Append(ctx, start, mailbox.NewEntry{
					Mailbox: mailbox.Inbox, Body: body, Parsed: p.Finish(),
					Prefix: []byte("Return-Path: <ann@example.test>\r\nReceived: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"),
				})
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// fill gives a mailbox of n entries.
func fill(b *testing.B, h *house, n int) {
	e := mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: h.stage(b, letter(1))}
	for have := 0; have < n; {
		list := make([]mailbox.NewEntry, min(2000, n-have))
		for i := range list {
			list[i] = e
		}
		// Other prefixes, since one email has a limit of places.
		for i := range list {
			list[i].Prefix = fmt.Appendf(nil, "X-N: %d\r\n", have+i/1000)
		}
		if _, err := h.Append(context.Background(), start, list...); err != nil {
			b.Fatal(err)
		}
		have += len(list)
	}
}

// BenchmarkOpen loads 100,000 entries.
func BenchmarkOpen(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		s := mailbox.New(h.db, h.blobs, mailbox.Options{})
		v, err := s.Account(1).Open(context.Background(), mailbox.Inbox)
		if err != nil || v.Snapshot().Len() != 100_000 {
			b.Fatal(err)
		}
		v.Close()
		s.Close()
	}
}

// BenchmarkReopen is a SELECT of what is open already.
func BenchmarkReopen(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, 10_000)
	h.open(b, mailbox.Inbox)
	b.ReportAllocs()
	for b.Loop() {
		v, err := h.Open(context.Background(), mailbox.Inbox)
		if err != nil || v.Snapshot().Len() != 10_000 {
			b.Fatal(err)
		}
		v.Close()
	}
}

// BenchmarkSetFlags changes flags in an open mailbox of 100,000.
func BenchmarkSetFlags(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, 100_000)
	v := h.open(b, mailbox.Inbox)
	var all []mail.UID
	for _, e := range v.Snapshot().Entries(0) {
		all = append(all, e.UID)
	}
	for _, n := range []int{1, 100, 8000} {
		b.Run(fmt.Sprint("entries=", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				c := mailbox.FlagChange{Op: mailbox.FlagOp(1 + i%2), Flags: mail.Seen}
				if _, err := h.SetFlags(context.Background(), mailbox.Inbox, all[5000:5000+n], c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFacts reads what a page of a mailbox shows.
func BenchmarkFacts(b *testing.B) {
	h := benchHouse(b)
	ids := make([]mail.EmailID, 100)
	for i := range ids {
		ids[i] = h.add(b, mailbox.Inbox, letter(i), 0).Email
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Facts(context.Background(), ids); err != nil {
			b.Fatal(err)
		}
	}
}
