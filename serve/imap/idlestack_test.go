//go:build !race

package imap

import (
	"crypto/tls"
	"runtime"
	"testing"
	"time"

	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
	"waxwing/test/transcript"
)

// What waits in IDLE under TLS keeps a stack of 8 KiB. The handshake needs 16;
// Go's collector halves a stack of which less than a quarter is in use, and a few
// hundred octets more in the frames from the listener to the read would keep it
// from that.
func TestIdleStack(t *testing.T) {
	const (
		sessions = 200
		most     = 12 << 10
	)
	h := newHouse(t, mailbox.Options{})
	addr := h.listenWith(imapserver.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}, ImplicitTLS: true,
		MaxPerAccount: sessions, MaxPerAddress: sessions,
	})
	before := stacks()
	for range sessions {
		nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // our own, made for this test
		h.must(err)
		t.Cleanup(func() { _ = nc.Close() })
		c := newClient(t, nc)
		c.ok("LOGIN alice waxwing")
		c.ok("SELECT INBOX")
		_, err = nc.Write([]byte("i IDLE\r\n"))
		h.must(err)
		c.line()
	}
	each := int64(0)
	for range 1000 {
		if each = (stacks() - before) / sessions; each <= most {
			return
		}
		time.Sleep(10 * time.Millisecond) // some are not waiting yet
	}
	t.Errorf("%d octets of stack for each session", each)
}

// stacks gives how much memory stacks take after a collection.
func stacks() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}
