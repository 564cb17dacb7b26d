package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// An imapClient is as little IMAP as a measurement needs. It reads answers
// without looking into them, so that the server's time is what is measured.
type imapClient struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

func dialIMAP(addr, user, password string) (*imapClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &imapClient{conn: conn, r: bufio.NewReaderSize(conn, 256<<10)}
	if _, err := c.r.ReadSlice('\n'); err != nil {
		return nil, err
	}
	if _, err := c.do("LOGIN " + user + " " + password); err != nil {
		return nil, err
	}
	return c, nil
}

// do runs a command and gives the untagged lines that say a number or a list
// (not the FETCH data), once the tagged OK has come.
func (c *imapClient) do(command string) ([]string, error) {
	c.tag++
	tag := "x" + strconv.Itoa(c.tag) + " "
	if _, err := io.WriteString(c.conn, tag+command+"\r\n"); err != nil {
		return nil, err
	}
	var lines []string
	for {
		line, err := c.readLine()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		switch {
		case strings.HasPrefix(line, tag+"OK"):
			return lines, nil
		case strings.HasPrefix(line, tag):
			return nil, fmt.Errorf("%s: %s", command, line)
		case !strings.Contains(line, "FETCH"):
			lines = append(lines, line)
		}
	}
}

// readLine reads one line with its literals, which it drops.
func (c *imapClient) readLine() (string, error) {
	first := ""
	for {
		line, err := c.r.ReadSlice('\n')
		for err == bufio.ErrBufferFull {
			line, err = c.r.ReadSlice('\n')
		}
		if err != nil {
			return "", err
		}
		if first == "" {
			first = string(line[:min(len(line), 200)])
		}
		n := literal(line)
		if n < 0 {
			return first, nil
		}
		if _, err := c.r.Discard(n); err != nil {
			return "", err
		}
	}
}

// literal gives the length that a line ends with announcing, or -1.
func literal(line []byte) int {
	s := strings.TrimRight(string(line[max(0, len(line)-24):]), "\r\n")
	open := strings.LastIndexByte(s, '{')
	if open < 0 || !strings.HasSuffix(s, "}") {
		return -1
	}
	n, err := strconv.Atoi(s[open+1 : len(s)-1])
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
		if _, after, ok := strings.Cut(l, "(MESSAGES "); ok {
			return strconv.Atoi(strings.TrimRight(after, ")\r\n"))
		}
	}
	return 0, fmt.Errorf("no answer to STATUS")
}

func (c *imapClient) close() { _ = c.conn.Close() }
