package imap

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/mailbox"
	"waxwing/test/transcript"
)

// anybody lets everybody in, as alice: what is fuzzed comes after the login.
type anybody struct {
	sasl.Backend
	account mail.AccountID
}

func (a anybody) Password(context.Context, sasl.Peer, string, string, string) (sasl.Identity, error) {
	return sasl.Identity{Account: a.account}, nil
}

// Whatever a client says, the server does not fall over, and what it says is
// lines and literals. Failures show as panics in its log.
func FuzzDialog(f *testing.F) {
	for _, s := range []string{
		"FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY[1] BODY[HEADER.FIELDS (a)]<0.5>)\r\n", "STORE 1 +FLAGS (\\Seen x)\r\n",
		"APPEND INBOX {3+}\r\nabc\r\nb NOOP\r\n", "APPEND INBOX {3+}\r\nabc (x) {3+}\r\nabd {0+}\r\n\r\n", "SEARCH RETURN (SAVE MIN) OR TEXT a NOT BODY b\r\nb FETCH $ UID\r\n",
		"LIST (SUBSCRIBED) \"\" (* %) RETURN (STATUS (SIZE))\r\n", "IDLE\r\nDONE\r\n", "UID MOVE 1 Trash\r\nb EXPUNGE\r\n",
		"ENABLE IMAP4rev2\r\nb CREATE \"&\"\r\nc RENAME & y\r\nd SELECT y\r\n", "FETCH 1 (BINARY.PEEK[2] BINARY.SIZE[1] BODY[3.1.MIME])\r\n",
		"LOGOUT\r\n", "STATUS INBOX (RECENT)\r\nb DELETE Sent\r\nc CREATE a/b (USE (\\Sent))\r\n",
	} {
		f.Add([]byte(s))
	}
	h := newHouse(f, mailbox.Options{Quota: 1 << 20, MaxMailboxes: 50, MaxKeywords: 50})
	alice := h.accounts["alice"]
	var log lockedBuffer
	server := imapserver.New(New(h.mailboxes, h.blobs, Options{}).Open, imapserver.Options{
		Auth: anybody{account: alice}, PlaintextAuth: true, MaxMessage: 64 << 10, ReadTimeout: time.Second, IdleTimeout: time.Second,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	l := transcript.Listen(143)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	f.Cleanup(func() { stop(); h.must(<-ended) })
	h.append(short(1), short(2))
	f.Fuzz(func(t *testing.T, text []byte) {
		conn := l.Dial()
		heard := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(conn) // a pipe: it ends when the server closes it
			heard <- b
		}()
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		for _, part := range [][]byte{[]byte("l LOGIN a b\r\ns SELECT INBOX\r\na "), text, []byte("\r\n")} {
			if _, err := conn.Write(part); err != nil {
				break
			}
		}
		logout(conn)
		if b := <-heard; !bytes.HasPrefix(b, []byte("* ")) || !bytes.HasSuffix(b, []byte("\r\n")) {
			t.Errorf("the server said %q", b)
		}
		if s := log.take(); strings.Contains(s, "panic") {
			t.Fatalf("%q: %s", text, s)
		}
	})
}

// logout ends a connection that may be in the middle of anything.
func logout(conn net.Conn) {
	_, _ = io.WriteString(conn, "z LOGOUT\r\n")               // it may have
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second)) // ended already
}

// A lockedBuffer takes the log.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}
