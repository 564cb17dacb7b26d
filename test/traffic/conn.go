package traffic

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A conn is one connection that lines go over.
type conn struct {
	net.Conn
	in *bufio.Reader
}

// patience is how long a server may take to answer.
const patience = time.Minute

func dial(addr string) (*conn, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &conn{nc, bufio.NewReader(nc)}, nil
}

func (c *conn) say(text string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(c, text+"\r\n")
	return err
}

func (c *conn) line() (string, error) {
	s, err := c.in.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// reply reads a reply of SMTP and gives its last line.
func (c *conn) reply() (string, error) {
	for {
		s, err := c.line()
		if err != nil || len(s) < 4 || s[3] != '-' {
			return s, err
		}
	}
}

// dots reads lines up to the final dot.
func (c *conn) dots() (string, error) {
	var b strings.Builder
	for {
		s, err := c.line()
		if err != nil || s == "." {
			return b.String(), err
		}
		b.WriteString(strings.TrimPrefix(s, ".") + "\r\n")
	}
}

// A response is a line of IMAP with its literals taken out.
type response struct {
	line     string
	literals []string
}

// response reads one.
func (c *conn) response() (r response, err error) {
	for {
		s, err := c.line()
		if err != nil {
			return r, err
		}
		i := strings.LastIndexByte(s, '{')
		if i < 0 || !strings.HasSuffix(s, "}") {
			r.line += s
			return r, nil
		}
		n, err := strconv.Atoi(s[i+1 : len(s)-1])
		if err != nil {
			return r, err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(c.in, b); err != nil {
			return r, err
		}
		r.line, r.literals = r.line+s[:i], append(r.literals, string(b))
	}
}

// errNo is that the server has put an IMAP command off.
var errNo = errors.New("NO")

// A wrongAnswer is one that no server should give.
type wrongAnswer struct{ text string }

func (w *wrongAnswer) Error() string { return w.text }

// command sends a command and gives the untagged responses and the text of
// the tagged one; errNo if that is NO.
func (c *conn) command(text string) (all []response, ok string, err error) {
	if err := c.say("t " + text); err != nil {
		return nil, "", err
	}
	for {
		r, err := c.response()
		if err != nil {
			return all, "", err
		}
		status, tagged := strings.CutPrefix(r.line, "t ")
		switch {
		case strings.HasPrefix(r.line, "+"):
			return all, r.line, nil
		case strings.HasPrefix(r.line, "* BYE"):
			return all, "", io.EOF
		case !tagged:
			all = append(all, r)
		case strings.HasPrefix(status, "OK"):
			return all, status, nil
		case strings.HasPrefix(status, "NO [UNAVAILABLE]"): // RFC 5530 §3
			return all, "", errNo
		default:
			return all, "", &wrongAnswer{fmt.Sprintf("%.60q is answered with %q", text, status)}
		}
	}
}
