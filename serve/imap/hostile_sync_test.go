package imap

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// A client that asks for as much as one command can hold is answered, or
// refused, and the next command works as if nothing had been.
func TestMuchOfEverything(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	h.append(short(1))
	c := h.dial(h.listen())
	c.ok("SELECT INBOX")
	// RFC 4469: a message of a thousand URLs.
	c.ok("APPEND INBOX CATENATE (" + strings.TrimSpace(strings.Repeat(" URL ;UID=1", 1000)) + ")")
	untagged := c.ok("FETCH 2 (RFC822.SIZE)")
	if want := fmt.Sprintf("* 2 FETCH (RFC822.SIZE %d)", 1000*len(short(1))); untagged[len(untagged)-1] != want {
		t.Errorf("%q, want %q", untagged, want)
	}
	// This is 400 times a message of 160 KB: more than a message may
	// have, which is found out before it is copied.
	if _, tagged := c.do("APPEND INBOX CATENATE (" + strings.TrimSpace(strings.Repeat(" URL ;UID=2", 400)) + ")"); !strings.HasPrefix(tagged, "NO [TOOBIG]") {
		t.Error(tagged)
	}
	// More messages at once than are held in memory.
	if _, err := io.WriteString(c.conn, "m APPEND INBOX"+strings.Repeat(" {1+}\r\nx", 16_000)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line := c.line()
	for !strings.HasPrefix(line, "m ") {
		line = c.line()
	}
	if !strings.HasPrefix(line, "m NO [LIMIT]") && !strings.HasPrefix(line, "m OK") {
		t.Error(line)
	}
	// RFC 5465: ten thousand mailboxes to be watched.
	var names strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&names, " b%d", i)
	}
	c.ok("NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (mailboxes (" + names.String()[1:] + ") (MessageNew MessageExpunge)) (subtree (" + names.String()[1:] + ") (MailboxName))")
	c.ok("NOOP")
	// RFC 7162: known UIDs and pairs that go on for ever.
	c.ok("ENABLE QRESYNC")
	c.ok("SELECT INBOX (QRESYNC (946684801 1 1:4294967295 (1:4294967295 1:4294967295)))")
	c.ok("UID FETCH 1:4294967295 (UID) (CHANGEDSINCE 99999999999999 VANISHED)")
	if _, tagged := c.do("URLFETCH" + strings.Repeat(" x", 2000)); !strings.HasPrefix(tagged, "BAD") {
		t.Error(tagged)
	}
	c.ok("URLFETCH" + strings.Repeat(" imap://a@b/c/;UID=1;URLAUTH=anonymous:INTERNAL:0191354a473744909de610943775f92038", 900))
	c.ok("NOOP")
}
