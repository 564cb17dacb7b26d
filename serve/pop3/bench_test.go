package pop3

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// One RETR of a message of 16 KiB at a time, over TCP.
func BenchmarkRetr(b *testing.B) {
	h := newHouse(b)
	m := "From: ann@example.com\r\nSubject: bench\r\n\r\n" + strings.Repeat("some text in a line of usual length, with nothing special in it\r\n", 250)
	h.append("bob", m)
	c := h.dial()
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	buffer := make([]byte, len(m)+len(".\r\n"))
	for b.Loop() {
		c.ok("RETR 1")
		if _, err := io.ReadFull(c.in, buffer); err != nil {
			b.Fatal(err)
		}
	}
}

// UIDL of 10,000 messages.
func BenchmarkUidl(b *testing.B) {
	const n = 10_000
	h := newHouse(b)
	for range n / 100 {
		var some []string
		for i := range 100 {
			some = append(some, fmt.Sprintf("Subject: %d\r\n\r\n", i))
		}
		h.append("bob", some...)
	}
	c := h.dial()
	b.ReportAllocs()
	for b.Loop() {
		c.ok("UIDL")
		for {
			line, err := c.in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if string(line) == ".\r\n" {
				break
			}
		}
	}
}
