package imap

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
	"waxwing/test/engine"
	"waxwing/test/transcript"
)

// A client that reads one octet a second during a large FETCH holds nobody
// else up, in the same mailbox or not, and is cut off in the end.
func TestSlowReader(t *testing.T) {
	engine.NeedsBubble(t)
	people() // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, mailbox.Options{})
		for range 20 {
			h.append("Subject: large\r\n\r\n" + strings.Repeat("0123456789\r\n", 20_000))
		}
		l := transcript.Listen(143)
		h.serve(l, imapserver.Options{PlaintextAuth: true})
		slow := newClient(t, l.Dial())
		slow.ok("LOGIN alice waxwing")
		slow.ok("SELECT INBOX")
		if _, err := io.WriteString(slow.conn, "a FETCH 1:* BODY[]\r\n"); err != nil {
			t.Fatal(err)
		}
		cut := make(chan time.Duration)
		go func() {
			since := time.Now()
			for b := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := slow.conn.Read(b); err != nil {
					cut <- time.Since(since)
					return
				}
			}
		}()
		time.Sleep(time.Minute)
		// All of this happens at once.
		since := time.Now()
		other := newClient(t, l.Dial())
		other.ok("LOGIN alice waxwing")
		other.ok("SELECT INBOX")
		other.ok(`STORE 1:* +FLAGS.SILENT (\Flagged)`)
		h.append(short(1), short(2))
		other.ok("EXPUNGE")
		other.ok("COPY 1 Trash")
		if out := other.ok("SEARCH FLAGGED BODY 3456"); len(strings.Fields(out[0])) != 22 {
			t.Errorf("found %q", out)
		}
		other.ok(`STORE 1:5 +FLAGS.SILENT (\Deleted)`)
		other.ok("EXPUNGE")
		other.ok("DELETE Junk")
		if took := time.Since(since); took > time.Second {
			t.Errorf("others waited for %v", took)
		}
		if took := <-cut; took > 10*time.Minute {
			t.Errorf("cut off after %v", took)
		}
		other.ok("LOGOUT")
	})
}
