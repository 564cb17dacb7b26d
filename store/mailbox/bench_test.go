package mailbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// letterSize is what all letters have.
const letterSize = 4 << 10

// appendLetter makes a letter of 4 KiB that differs from all others.
func appendLetter(dst []byte, i int) []byte {
	n := len(dst)
	dst = fmt.Appendf(dst, "From: Ann <ann@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: letter %d\r\n"+
		"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <%d@example.test>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n", i, i)
	dst = append(dst, allWork[:letterSize-(len(dst)-n)-2]...)
	return append(dst, "\r\n"...)
}

func letter(i int) string { return string(appendLetter(nil, i)) }

var allWork = strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 100)

// A bareLog is the yardstick: a program that appends to one growing file, and
// whose writers share its fdatasyncs.
type bareLog struct {
	file            *os.File
	writing         sync.Mutex
	syncing         sync.Mutex
	written, synced atomic.Int64
	failed          atomic.Pointer[error]
}

func newBareLog(b *testing.B) *bareLog {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return &bareLog{file: f}
}

func (l *bareLog) append(p []byte) {
	l.writing.Lock()
	if _, err := l.file.Write(p); err != nil {
		l.failed.Store(&err)
	}
	mine := l.written.Add(1)
	l.writing.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced.Load() < mine {
		upTo := l.written.Load()
		if err := syscall.Fdatasync(int(l.file.Fd())); err != nil {
			l.failed.Store(&err)
		}
		l.synced.Store(upTo)
	}
}

// run has writers do n things, and gives how long it took.
func run(writers, n int, do func(i int, buf []byte) []byte) time.Duration {
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			buf := make([]byte, 0, 2*letterSize)
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				buf = do(int(i), buf[:0])
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// deliver does what doors do with a letter: stages and parses it as it comes,
// and appends it.
func deliver(h *house, a *mailbox.Account, text []byte) error {
	ctx := context.Background()
	body := blob.Stage(ctx, h.blobs)
	defer body.Close()
	p := message.NewParser()
	if _, err := body.Write(text); err != nil {
		return err
	}
	p.Write(text)
	if err := body.Finish(); err != nil {
		return err
	}
	_, err := a.Append(ctx, start, mailbox.NewEntry{
		Mailbox: mailbox.Inbox, Body: body, Parsed: p.Finish(),
		Prefix: []byte("Return-Path: <ann@example.test>\r\nReceived: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"),
	})
	return err
}

// accounts makes accounts besides the house's own.
func (h *house) accounts(b testing.TB, n int) []*mailbox.Account {
	list := make([]*mailbox.Account, n)
	for i := range list {
		id := mail.AccountID(i + 1)
		if err := h.store.Create(context.Background(), id, start, mailbox.AccountOptions{}); err != nil {
			b.Fatal(err)
		}
		list[i] = h.store.Account(id)
	}
	return list
}

// BenchmarkDeliver delivers letters of 4 KiB, durable, by turns with a bare
// program that appends the same octets to a growing file with group-committed
// fdatasyncs. "of-bare-%" is the ratio of their rates.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct {
		name              string
		writers, accounts int
		watched           bool
	}{
		{"writers=64/accounts=64", 64, 64, false},
		{"writers=64/accounts=1", 64, 1, false},
		{"writers=64/accounts=1/watched", 64, 1, true},
		{"writers=8/accounts=8", 8, 8, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := benchHouse(b)
			accounts := h.accounts(b, c.accounts)
			if c.watched {
				h.open(b, mailbox.Inbox)
			}
			bare := newBareLog(b)
			var ours, theirs, cpu time.Duration
			const turn = 2000
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += turn {
				n := min(turn, b.N-done)
				used := processorTime(b)
				ours += run(c.writers, n, func(i int, buf []byte) []byte {
					buf = appendLetter(buf, done+i)
					if err := deliver(h, accounts[i%len(accounts)], buf); err != nil {
						b.Error(err)
					}
					return buf
				})
				b.StopTimer()
				cpu += processorTime(b) - used
				theirs += run(c.writers, n, func(i int, buf []byte) []byte {
					buf = appendLetter(buf, done+i)
					bare.append(buf)
					return buf
				})
				b.StartTimer()
			}
			b.StopTimer()
			if err := bare.failed.Load(); err != nil {
				b.Fatal(*err)
			}
			b.ReportMetric(float64(b.N)/ours.Seconds(), "msg/s")
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/msg")
			b.ReportMetric(float64(b.N)/theirs.Seconds(), "bare-msg/s")
			b.ReportMetric(100*theirs.Seconds()/ours.Seconds(), "of-bare-%")
		})
	}
}

// processorTime gives what the process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDeliverAlone is one writer, by turns with one bare append and
// fdatasync. "fdatasyncs" is the ratio of the medians.
func BenchmarkDeliverAlone(b *testing.B) {
	h := benchHouse(b)
	bare := newBareLog(b)
	var ours, theirs []time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		text := appendLetter(nil, i)
		began := time.Now()
		bare.append(text)
		theirs = append(theirs, time.Since(began))
		b.StartTimer()
		began = time.Now()
		if err := deliver(h, h.Account, text); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
	}
	x, y := median(ours), median(theirs)
	b.ReportMetric(float64(x.Microseconds()), "median-µs")
	b.ReportMetric(float64(y.Microseconds()), "bare-median-µs")
	b.ReportMetric(float64(x)/float64(y), "fdatasyncs")
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkParse is what reading a letter costs besides storing it.
func BenchmarkParse(b *testing.B) {
	text := appendLetter(nil, 1)
	b.Run("stage", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body := blob.Stage(b.Context(), nil)
			body.Write(text)
			body.Finish()
			body.Close()
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := message.NewParser()
			p.Write(text)
			p.Finish()
		}
	})
	b.Run("encode", func(b *testing.B) {
		m, err := message.Parse(bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			m.AppendBinary(nil)
		}
	})
}
