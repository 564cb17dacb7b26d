package mailbox_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// An open mailbox costs at most 48 octets a message.
func TestEntrySize(t *testing.T) {
	if n := unsafe.Sizeof(mailbox.Entry{}); n > 40 {
		t.Errorf("an entry is %d octets", n)
	}
}

// A large message passes through in pieces: staged, parsed, kept, appended and
// read again it never costs more than a few MiB of memory.
func TestLargeMessageMemory(t *testing.T) {
	const size, most = 50 << 20, 4 << 20
	h := newHouse(t, mailbox.Options{})
	ctx := context.Background()
	h.add(t, mailbox.Inbox, text("to make what is made once"), 0)

	line := strings.Repeat("0123456789abcdef", 4) + "\r\n"
	piece := []byte(strings.Repeat(line, 1000))
	before := heap()
	highest := int64(0)
	look := func() { // what is in use, garbage not counted
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		highest = max(highest, int64(m.HeapAlloc)-before)
	}
	body := blob.Stage(ctx, h.blobs)
	defer body.Close()
	p := message.NewParser()
	w := io.MultiWriter(body, p)
	write := func(b []byte) {
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("From: ann@example.test\r\nSubject: large\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: image/x\r\n\r\n"))
	for n := 0; body.Size() < size; n++ {
		write(piece)
		if n%100 == 0 {
			look()
		}
	}
	write([]byte("\r\n--b--\r\n"))
	if err := body.Finish(); err != nil {
		t.Fatal(err)
	}
	done, err := h.Append(ctx, start, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body, Parsed: p.Finish()})
	if err != nil {
		t.Fatal(err)
	}
	look()
	m, err := h.OpenMessage(ctx, done[0].Email)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for at := int64(0); at < int64(m.Size()); at += 10 << 20 {
		if _, err := m.ReadAt(piece[:1000], at); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	look()
	if m.Size() < mail.ByteCount(size) || highest > most {
		t.Errorf("a message of %v took %d KiB of memory", m.Size(), highest>>10)
	}
	t.Logf("%d KiB at most", highest>>10)
}
