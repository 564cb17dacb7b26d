package mailbox_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"waxwing/mail"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

// BenchmarkIdleAccounts weighs 10,000 accounts that nobody uses, after the
// store has been opened again.
func BenchmarkIdleAccounts(b *testing.B) {
	const n = 10_000
	dir := b.TempDir()
	db, err := pebblekv.Open(dir, pebblekv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := newHouseOn(b, db, mailbox.Options{})
	run(64, n, func(i int, buf []byte) []byte {
		if err := h.store.Create(context.Background(), mail.AccountID(i), start, mailbox.AccountOptions{}); err != nil {
			b.Error(err)
		}
		return buf
	})
	// As many have had a letter, and are at rest again.
	run(64, n, func(i int, buf []byte) []byte {
		buf = appendLetter(buf, i)
		if err := deliver(h, h.store.Account(mail.AccountID(i)), buf); err != nil {
			b.Error(err)
		}
		return buf
	})
	used := heap()
	h.Account = nil
	h.store.Close()
	h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
	fresh := heap()
	for b.Loop() {
		heap()
	}
	b.ReportMetric(float64(used-fresh)/n, "B/account")
}

// BenchmarkStart opens a store: with WAXWING_MILLION set, of 1,000,000
// messages in ten accounts, else of a tenth of them.
func BenchmarkStart(b *testing.B) {
	each := 10_000
	if os.Getenv("WAXWING_MILLION") != "" {
		each *= 10
	}
	dir := b.TempDir()
	db, err := pebblekv.Open(dir, pebblekv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := newHouseOn(b, db, mailbox.Options{})
	for _, a := range h.accounts(b, 10) {
		fill(b, h, a, each)
	}
	b.Run(fmt.Sprint("messages=", 10*each), func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := h.db.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if h.db, err = pebblekv.Open(dir, pebblekv.Options{}); err != nil {
				b.Fatal(err)
			}
			s := mailbox.New(h.db, h.blobs, mailbox.Options{})
			if _, err := s.Account(1).Usage(context.Background()); err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}

// BenchmarkWritten tells how many octets the process has given to the disk
// for each octet of mail that it has accepted, the store's end included.
func BenchmarkWritten(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("KiB=%d", size>>10), func(b *testing.B) {
			const total = 256 << 20
			for b.Loop() {
				dir := b.TempDir()
				db, err := pebblekv.Open(dir, pebblekv.Options{})
				if err != nil {
					b.Fatal(err)
				}
				h := newHouseOn(b, db, mailbox.Options{})
				accounts := h.accounts(b, 16)
				before := written(b)
				run(16, total/size, func(i int, _ []byte) []byte {
					if err := deliver(h, accounts[i%16], noise(i, size)); err != nil {
						b.Error(err)
					}
					return nil
				})
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(written(b)-before)/total, "written/octet")
				if h.db, err = pebblekv.Open(dir, pebblekv.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// noise makes a letter that does not compress much, as an attached picture.
func noise(i, size int) []byte {
	text := appendLetter(nil, i)
	x := uint64(i)*0x9E3779B97F4A7C15 + 1
	for len(text) < size {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		text = fmt.Appendf(text, "%016x", x)
		if len(text)%78 < 16 {
			text = append(text, "\r\n"...)
		}
	}
	return text
}

// written gives the octets that the process has caused to be written.
func written(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	var rchar, wchar, syscr, syscw, readBytes, writeBytes int64
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d\nread_bytes: %d\nwrite_bytes: %d",
		&rchar, &wchar, &syscr, &syscw, &readBytes, &writeBytes); err != nil {
		b.Fatal(err)
	}
	return writeBytes
}
