package imap

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// A deflating is a client's end of a compressed connection, by the standard
// library's DEFLATE, not ours.
type deflating struct {
	net.Conn
	w *flate.Writer
}

func (d deflating) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

// compress has a client's connection compressed.
func (c *client) compress() {
	c.t.Helper()
	c.ok("COMPRESS DEFLATE")
	w, err := flate.NewWriter(c.conn, flate.DefaultCompression)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.in = deflating{c.conn, w}, bufio.NewReader(flate.NewReader(c.in))
}

// COMPRESS=DEFLATE: everything works as without, large literals either way,
// and IDLE, which has to be woken while nothing comes in. RFC 4978
func TestCompress(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	addr := h.listen()
	c := h.dial(addr)
	if _, tagged := c.do("COMPRESS LZW"); !strings.HasPrefix(tagged, "BAD ") {
		t.Fatal(tagged)
	}
	c.compress()
	if _, tagged := c.do("COMPRESS DEFLATE"); !strings.HasPrefix(tagged, "NO [COMPRESSIONACTIVE]") {
		t.Fatal(tagged)
	}
	c.ok("SELECT INBOX")
	text := "Subject: large\r\n\r\n" + strings.Repeat("twelve apples\r\n", 50_000)
	for range 3 {
		if _, err := fmt.Fprintf(c.conn, "a APPEND INBOX {%d+}\r\n%s\r\n", len(text), text); err != nil {
			t.Fatal(err)
		}
		for !strings.HasPrefix(c.line(), "a OK") { //nolint:revive // until then
		}
	}
	if _, err := io.WriteString(c.conn, "b FETCH 3 BODY.PEEK[]\r\n"); err != nil {
		t.Fatal(err)
	}
	if line := c.line(); line != fmt.Sprintf("* 3 FETCH (BODY[] {%d}", len(text)) {
		t.Fatal(line)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c.in, got); err != nil || !bytes.Equal(got, []byte(text)) {
		t.Fatalf("the message is another, %v", err)
	}
	for !strings.HasPrefix(c.line(), "b OK") { //nolint:revive // until then
	}
	if _, err := io.WriteString(c.conn, "c IDLE\r\n"); err != nil {
		t.Fatal(err)
	}
	if line := c.line(); !strings.HasPrefix(line, "+") {
		t.Fatal(line)
	}
	h.append(short(1))
	if line := c.line(); line != "* 4 EXISTS" {
		t.Fatal(line)
	}
	c.line() // RECENT
	if _, err := io.WriteString(c.conn, "DONE\r\n"); err != nil {
		t.Fatal(err)
	}
	if line := c.line(); !strings.HasPrefix(line, "c OK") {
		t.Fatal(line)
	}
	c.ok("LOGOUT")
}

// What is no DEFLATE ends the connection, and what becomes too much of it is
// held to the limits that hold for everybody.
func TestCompressHostile(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	addr := h.listen()
	c := h.dial(addr)
	c.ok("COMPRESS DEFLATE")
	if _, err := io.WriteString(c.conn, strings.Repeat("\xff", 1000)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, c.in) // ends, with or without an error
	c = h.dial(addr)
	c.compress()
	// Some 4 KiB on the wire. Whether BYE is heard or the connection is seen
	// to be reset depends on who is first; that it ends does not.
	_, _ = io.WriteString(c.conn, "a "+strings.Repeat("x", 4<<20)+"\r\n")
	if n, _ := io.Copy(io.Discard, c.in); n > 1000 {
		t.Fatalf("%d octets of answer", n)
	}
}
