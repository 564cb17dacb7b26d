package imap

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// A large message goes in and out in pieces: neither APPEND nor FETCH nor
// SEARCH holds it in memory.
func TestLargeMessage(t *testing.T) {
	const lines, size = 400_000, 400_000*76 + 32
	h := newHouse(t, mailbox.Options{})
	c := h.dial(h.listen())
	c.ok("SELECT INBOX")
	before := allocated()

	// Lines that do not repeat, and a needle in the last one.
	text := func() io.Reader {
		r, w := io.Pipe()
		go func() {
			b := bufio.NewWriter(w)
			random := rand.New(rand.NewPCG(1, 2))
			_, err := fmt.Fprintf(b, "%-30s\r\n", "Subject: large\r\n\r\n")
			for i := 0; i < lines && err == nil; i++ {
				line := fmt.Sprintf("%d %x", i, random.Uint64())
				if i == lines-1 {
					line = "a NEEDLE in the hay"
				}
				_, err = fmt.Fprintf(b, "%-74s\r\n", line)
			}
			_ = b.Flush()             // a pipe
			_ = w.CloseWithError(err) // never fails
		}()
		return r
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, text()); n != size || err != nil {
		t.Fatal(n, err)
	}
	made := allocated()
	if _, err := fmt.Fprintf(c.conn, "a APPEND INBOX {%d+}\r\n", size); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(c.conn, text()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c.conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	for line := ""; !strings.HasPrefix(line, "a OK [APPENDUID"); line = c.line() {
		if strings.HasPrefix(line, "a ") {
			t.Fatal(line)
		}
	}
	if out := c.ok("SEARCH BODY needle"); !slices.Contains(out, "* SEARCH 1") { // it may say before that it goes on
		t.Errorf("searched: %v", out)
	}
	if _, err := io.WriteString(c.conn, "b FETCH 1 BODY.PEEK[]\r\n"); err != nil {
		t.Fatal(err)
	}
	if line := c.line(); line != fmt.Sprintf("* 1 FETCH (BODY[] {%d}", size) {
		t.Fatal(line)
	}
	again := sha256.New()
	if _, err := io.CopyN(again, c.in, size); err != nil {
		t.Fatal(err)
	}
	if string(again.Sum(nil)) != string(sum.Sum(nil)) {
		t.Error("what came out is not what went in")
	}
	if line := c.line(); line != ")" {
		t.Fatal(line)
	}
	// The test itself makes its text twice, at a known price.
	if used := int64(allocated()-made) - int64(made-before); used > 8<<20 {
		t.Errorf("%d octets were allocated for a message of %d", used, size)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
