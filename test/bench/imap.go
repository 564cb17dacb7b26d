package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
)

// An imapClient is as little IMAP as a measurement needs. It reads answers
// without looking into them, so that the server's time is what is measured.
type imapClient struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int

	out []byte // of the last APPEND
}

// dialIMAP connects and logs in; room is for what is read at once.
func dialIMAP(addr, user, password string, room int) (*imapClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return newIMAP(conn, user, password, room)
}

// dialIMAPS does so by TLS.
func dialIMAPS(addr string, config *tls.Config, user, password string, room int) (*imapClient, error) {
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return nil, err
	}
	return newIMAP(conn, user, password, room)
}

func newIMAP(conn net.Conn, user, password string, room int) (*imapClient, error) {
	c := &imapClient{conn: conn, r: bufio.NewReaderSize(conn, room)}
	if _, _, err := c.readSlice(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	if _, err := c.do("LOGIN " + user + " " + password); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// do runs a command and gives the untagged lines that say a number or a list
// (not the FETCH data), once the tagged OK has come.
func (c *imapClient) do(command string) ([]string, error) {
	return c.send(command, nil)
}

// send runs a command that may end with a literal.
func (c *imapClient) send(command string, literal []byte) ([]string, error) {
	c.tag++
	tag := "x" + strconv.Itoa(c.tag) + " "
	out := net.Buffers{[]byte(tag + command + "\r\n")}
	if literal != nil {
		out = append(out, literal, []byte("\r\n"))
	}
	if _, err := out.WriteTo(c.conn); err != nil {
		return nil, err
	}
	var lines []string
	for {
		line, err := c.readLine()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		switch {
		case bytes.HasPrefix(line, []byte(tag)) && bytes.HasPrefix(line[len(tag):], []byte("OK")):
			return lines, nil
		case bytes.HasPrefix(line, []byte(tag)):
			return nil, fmt.Errorf("%s: %s", command, line)
		case !bytes.Contains(line[:min(len(line), 24)], []byte("FETCH")):
			lines = append(lines, string(line))
		}
	}
}

// readLine gives the beginning of a line, until the next call, and drops its
// literals and what follows them.
func (c *imapClient) readLine() ([]byte, error) {
	first, last, err := c.readSlice()
	if err != nil {
		return nil, err
	}
	n := literal(last)
	if n < 0 {
		return first, nil
	}
	first = bytes.Clone(first[:min(len(first), 200)])
	for ; n >= 0; n = literal(last) {
		if _, err := c.r.Discard(n); err != nil {
			return nil, err
		}
		if _, last, err = c.readSlice(); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// readSlice gives the first of a line that fits, and the last of it: mostly
// the same.
func (c *imapClient) readSlice() (first, last []byte, err error) {
	for {
		last, err = c.r.ReadSlice('\n')
		if err == nil && first == nil {
			return last, last, nil
		}
		if err != bufio.ErrBufferFull {
			return first, last, err
		}
		if first == nil {
			first = bytes.Clone(last)
		}
	}
}

// literal gives the length that a line ends with announcing, or -1.
func literal(line []byte) int {
	line = bytes.TrimRight(line[max(0, len(line)-24):], "\r\n")
	if len(line) == 0 || line[len(line)-1] != '}' {
		return -1
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return -1
	}
	n, err := strconv.Atoi(string(line[open+1 : len(line)-1]))
	if err != nil {
		return -1
	}
	return n
}

// messages gives how many messages a mailbox holds.
func (c *imapClient) messages(mailbox string) (int, error) {
	lines, err := c.do("STATUS " + mailbox + " (MESSAGES)")
	if err != nil {
		return 0, err
	}
	for _, l := range lines {
		var n int
		if i := bytes.Index([]byte(l), []byte("(MESSAGES ")); i >= 0 {
			if _, err := fmt.Sscanf(l[i:], "(MESSAGES %d)", &n); err != nil {
				return 0, err
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("no answer to STATUS")
}

// fill appends messages to INBOX, one after the other, each answered before
// the next. first tells them from those of other calls.
func (c *imapClient) fill(first, n int, text string) error {
	for i := range n {
		if err := c.multiAppend(first+i, 1, text); err != nil {
			return err
		}
	}
	return nil
}

// multiAppend appends messages with one command.
func (c *imapClient) multiAppend(first, n int, text string) error {
	c.tag++
	c.out = append(strconv.AppendInt(append(c.out[:0], 'x'), int64(c.tag), 10), ' ')
	tag := len(c.out)
	c.out = append(appendAppend(c.out, first, n, text), "\r\n"...)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.answered(c.out[:tag])
}

// appendAppend writes an APPEND of n messages to INBOX, without tag and CRLF.
func appendAppend(dst []byte, first, n int, text string) []byte {
	const begin, end = "Message-ID: <fill.", "@bench.test>\r\n"
	dst = append(dst, "APPEND INBOX"...)
	var id [20]byte
	for i := range n {
		number := strconv.AppendInt(id[:0], int64(first+i), 10)
		dst = append(dst, " {"...)
		dst = strconv.AppendInt(dst, int64(len(begin)+len(number)+len(end)+len(text)), 10)
		dst = append(dst, "+}\r\n"...)
		dst = append(append(append(dst, begin...), number...), end...)
		dst = append(dst, text...)
	}
	return dst
}

// answered waits for the OK of a command.
func (c *imapClient) answered(tag []byte) error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if rest, ok := bytes.CutPrefix(line, tag); ok {
			if !bytes.HasPrefix(rest, []byte("OK")) {
				return fmt.Errorf("APPEND: %s", rest)
			}
			return nil
		}
	}
}

// idle leaves the connection waiting for news.
func (c *imapClient) idle() error {
	if _, err := io.WriteString(c.conn, "i IDLE\r\n"); err != nil {
		return err
	}
	line, err := c.readLine()
	if err == nil && line[0] != '+' {
		err = fmt.Errorf("IDLE: %s", line)
	}
	return err
}

func (c *imapClient) close() { _ = c.conn.Close() }
