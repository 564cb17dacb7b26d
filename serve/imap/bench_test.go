package imap

import (
	"bytes"
	"io"

	"runtime"
	"strconv"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

const benchMessages = 10_000

// BenchmarkFetch measures what a client waits for when it opens a mailbox of
// ten thousand: each iteration fetches the items of all messages.
func BenchmarkFetch(b *testing.B) {
	h := newHouse(b, mailbox.Options{})
	ctx := b.Context()
	a := h.mailboxes.Account(h.accounts["alice"])
	for i := 0; i < benchMessages; i += 100 {
		var entries []mailbox.NewEntry
		for k := range 100 {
			body, err := blob.StageBytes(ctx, h.blobs, []byte(short(i+k)))
			h.must(err)
			defer body.Close() //nolint:errcheck // in memory
			entries = append(entries, mailbox.NewEntry{Mailbox: 1, Body: body, Flags: mail.Flags(k % 4)})
		}
		_, err := a.Append(ctx, time.Now(), entries...)
		h.must(err)
	}
	c := h.dial(h.listen())
	c.ok("SELECT INBOX")
	for _, items := range []string{
		"FLAGS", "(UID FLAGS INTERNALDATE RFC822.SIZE)", "ENVELOPE", "BODYSTRUCTURE",
		"BODY.PEEK[HEADER.FIELDS (From Subject Date)]", "BODY.PEEK[]",
	} {
		b.Run(items, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				c.fetchAll(items)
			}
			b.ReportMetric(float64(b.N*benchMessages)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// fetchAll fetches and throws away, with as little work as can be.
func (c *client) fetchAll(items string) {
	c.t.Helper()
	c.tag++
	tag := "\r\nt" + strconv.Itoa(c.tag) + " OK"
	if _, err := io.WriteString(c.conn, tag[2:len(tag)-3]+" FETCH 1:* "+items+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	buf := make([]byte, 256<<10)
	for tail := 0; ; {
		n, err := c.conn.Read(buf[tail:])
		if err != nil {
			c.t.Fatal(err)
		}
		got := buf[:tail+n]
		if i := bytes.LastIndex(got, []byte(tag)); i >= 0 && bytes.HasSuffix(got, []byte("\r\n")) {
			return
		}
		tail = copy(buf, got[max(0, len(got)-100):])
	}
}

// BenchmarkIdle measures what a connection in IDLE holds.
func BenchmarkIdle(b *testing.B) {
	h := newHouse(b, mailbox.Options{})
	h.append(short(1))
	addr := h.listen()
	const conns = 500
	before := heap()
	for range conns {
		c := h.dial(addr)
		c.ok("SELECT INBOX")
		if _, err := io.WriteString(c.conn, "i IDLE\r\n"); err != nil {
			b.Fatal(err)
		}
		c.line()
	}
	time.Sleep(100 * time.Millisecond)
	b.ReportMetric(float64(heap()-before)/conns, "B/conn")
	for range b.N {
	}
}

// heap gives what is in use, with stacks, of client and server together.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
