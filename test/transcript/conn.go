package transcript

import (
	"compress/flate"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// maxHeard bounds what a server that has gone wild can make us keep.
const maxHeard = 64 << 20

// A conn is the client's end of one connection. A goroutine of its own hears
// what the server says, because net.Pipe has no buffer.
type conn struct {
	net net.Conn // what bytes go over now: the pipe, or TLS upon it
	in  io.Reader
	out io.Writer

	done chan struct{} // closed when the hearing goroutine has ended
	news chan struct{} // capacity 1: something below has changed

	mu    sync.Mutex // guards heard and err
	heard []byte
	err   error // why nothing more will be heard
}

func newConn(c net.Conn) *conn {
	k := &conn{net: c, in: c, out: c, news: make(chan struct{}, 1)}
	k.hear()
	return k
}

func (k *conn) hear() {
	k.done = make(chan struct{})
	go func() {
		defer close(k.done)
		b := make([]byte, 16<<10)
		for {
			n, err := k.in.Read(b)
			k.mu.Lock()
			k.heard = append(k.heard, b[:n]...)
			if err == nil && len(k.heard) > maxHeard {
				err = errors.New("the server says too much")
			}
			k.err = err
			k.mu.Unlock()
			select {
			case k.news <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
}

// line takes the next line that has been heard. ok is false when there is no
// whole line; err then says whether the server has hung up, and heard what
// stands before that.
func (k *conn) line() (line string, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := string(k.heard[:min(len(k.heard), maxLine(k.heard))])
	text, _, ok := strings.Cut(s, "\n")
	if !ok {
		return s, false, k.err
	}
	k.heard = k.heard[len(text)+1:]
	if t, crlf := strings.CutSuffix(text, "\r"); crlf {
		return t, true, nil
	}
	return text + "<LF>", true, nil
}

// maxLine gives how far to look for the end of the first line.
func maxLine(b []byte) int {
	for i, c := range b {
		if c == '\n' {
			return i + 1
		}
	}
	return len(b)
}

// next waits for a line, until the deadline.
func (k *conn) next(patience time.Duration) (line string, ok bool, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if line, ok, err = k.line(); ok || err != nil {
			return line, ok, err
		}
		select {
		case <-k.news:
		case <-timer.C:
			return line, false, os.ErrDeadlineExceeded
		}
	}
}

// write sends b and gives up after patience.
func (k *conn) write(b string, patience time.Duration) error {
	if err := k.net.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(k.out, b)
	if f, ok := k.out.(*flate.Writer); ok && err == nil {
		err = f.Flush()
	}
	return err
}

// upgrade changes what the connection speaks from here on.
func (k *conn) upgrade(to string, patience time.Duration) error {
	// The hearing goroutine has to let go first.
	if err := k.net.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	<-k.done
	k.mu.Lock()
	heard, err := string(k.heard), k.err
	k.err = nil
	k.mu.Unlock()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if heard != "" {
		return errors.New("the server said more before the upgrade: " + heard)
	}
	if err := k.net.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if to == "deflate" {
		w, err := flate.NewWriter(k.net, flate.DefaultCompression)
		if err != nil {
			return err
		}
		k.in, k.out = flate.NewReader(k.net), w
		k.hear()
		return nil
	}
	secured := tls.Client(k.net, &tls.Config{InsecureSkipVerify: true}) // a test of the protocol, not of the certificate
	if err := secured.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := secured.Handshake(); err != nil {
		return err
	}
	if err := secured.SetDeadline(time.Time{}); err != nil {
		return err
	}
	k.net, k.in, k.out = secured, secured, secured
	k.hear()
	return nil
}

func (k *conn) close() {
	_ = k.net.Close() // what went wrong with it has been said by now
	<-k.done
}
