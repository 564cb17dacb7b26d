package bench

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fill appends messages to INBOX, one after the other, each answered before
// the next.
func (c *imapClient) fill(n int, text string) error {
	var b strings.Builder
	for i := range n {
		b.Reset()
		message := fmt.Sprintf("Message-ID: <fill.%d@bench.test>\r\n", i) + text
		c.tag++
		tag := fmt.Sprintf("x%d ", c.tag)
		fmt.Fprintf(&b, "%sAPPEND INBOX {%d+}\r\n%s\r\n", tag, len(message), message)
		if _, err := io.WriteString(c.conn, b.String()); err != nil {
			return err
		}
		for {
			line, err := c.readLine()
			if err != nil {
				return err
			}
			if strings.HasPrefix(line, tag+"OK") {
				break
			}
			if strings.HasPrefix(line, tag) {
				return fmt.Errorf("APPEND: %s", line)
			}
		}
	}
	return nil
}

// fdatasync makes a file's data durable, as the engines do it.
func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
