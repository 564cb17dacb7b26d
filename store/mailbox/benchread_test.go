package mailbox_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"

	"waxwing/mail"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

// fill gives a mailbox of n entries.
func fill(b testing.TB, h *house, a *mailbox.Account, n int) {
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
		if _, err := a.Append(context.Background(), start, list...); err != nil {
			b.Fatal(err)
		}
		have += len(list)
	}
}

// BenchmarkOpen loads 100,000 entries: "warm" when the engine has just written
// them, "cold" after the whole store has been opened again.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	db, err := pebblekv.Open(dir, pebblekv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := newHouseOn(b, db, mailbox.Options{})
	fill(b, h, h.Account, 100_000)
	open := func(b *testing.B) {
		s := mailbox.New(h.db, h.blobs, mailbox.Options{})
		v, err := s.Account(1).Open(context.Background(), mailbox.Inbox)
		if err != nil || v.Snapshot().Len() != 100_000 {
			b.Fatal(err)
		}
		v.Close()
		s.Close()
	}
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			open(b)
		}
	})
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			if err := h.db.Close(); err != nil {
				b.Fatal(err)
			}
			if h.db, err = pebblekv.Open(dir, pebblekv.Options{}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			open(b)
		}
	})
}

// BenchmarkViewMemory weighs an open mailbox of 100,000 entries.
func BenchmarkViewMemory(b *testing.B) {
	const n = 100_000
	h := benchHouse(b)
	fill(b, h, h.Account, n)
	for b.Loop() {
		before := heap()
		v, err := h.Open(context.Background(), mailbox.Inbox)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/n, "B/message")
		runtime.KeepAlive(v)
		v.Close()
		b.StopTimer()
		h.store.Close()
		h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
		h.Account = h.store.Account(1)
		b.StartTimer()
	}
}

// heap gives the octets of objects that are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkReopen is a SELECT of what is open already.
func BenchmarkReopen(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, h.Account, 10_000)
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
	fill(b, h, h.Account, 100_000)
	v := h.open(b, mailbox.Inbox)
	var all []mail.UID
	for _, e := range v.Snapshot().Entries(0) {
		all = append(all, e.UID)
	}
	for _, n := range []int{1, 100, 8000, 20_000} {
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

// large makes a letter of some size.
func large(i, size int) []byte {
	text := appendLetter(nil, i)
	return append(text, bytes.Repeat([]byte("0123456789abcdef 0123456789abcdef 0123456789abcdef\r\n"), (size-len(text))/52)...)
}

// BenchmarkBodies reads bodies of 16 KiB: one of them, and all of a mailbox
// in their order, as FETCH does.
func BenchmarkBodies(b *testing.B) {
	const n = 4000
	h := benchHouse(b)
	ids := make([]mail.EmailID, 0, n)
	for range n {
		ids = append(ids, 0)
	}
	run(64, n, func(i int, _ []byte) []byte {
		id := h.add(b, mailbox.Inbox, string(large(i, 16<<10)), 0).Email
		ids[id-1] = id
		return nil
	})
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m, err := h.OpenMessage(context.Background(), ids[i%100])
			if err != nil {
				b.Fatal(err)
			}
			m.Close()
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		octets := 0
		for b.Loop() {
			for at := 0; at < n; {
				list, err := h.ReadInline(context.Background(), ids[at:min(n, at+32)])
				if err != nil {
					b.Fatal(err)
				}
				for _, m := range list {
					octets += len(m)
				}
				at += len(list)
			}
		}
		b.SetBytes(int64(octets / b.N))
	})
}
