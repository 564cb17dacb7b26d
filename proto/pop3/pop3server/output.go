package pop3server

import (
	"net"
	"sync"
	"time"
)

// buffers are lent to connections while they have something to say.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

const bufferSize = 32 << 10

// An output gathers responses. It holds a buffer only between the first write
// and the flush. The first error stays; writes after it do nothing.
type output struct {
	conn    net.Conn
	timeout time.Duration
	buffer  *[bufferSize]byte
	n       int
	err     error
}

func (o *output) Write(b []byte) (int, error) {
	size := len(b)
	for len(b) > 0 && o.err == nil {
		if o.n == 0 && len(b) >= bufferSize {
			o.send(b) // large enough by itself
			break
		}
		if o.buffer == nil {
			o.buffer = buffers.Get().(*[bufferSize]byte)
		}
		n := copy(o.buffer[o.n:], b)
		o.n += n
		b = b[n:]
		if o.n == bufferSize {
			o.send(o.buffer[:])
			o.n = 0
		}
	}
	return size, o.err
}

func (o *output) line(s string) {
	_, _ = o.Write(append([]byte(s), "\r\n"...)) // the error stays in o
}

// flush sends what has been gathered and gives the buffer back.
func (o *output) flush() error {
	if o.n > 0 && o.err == nil {
		o.send(o.buffer[:o.n])
	}
	o.n = 0
	if o.buffer != nil {
		buffers.Put(o.buffer)
		o.buffer = nil
	}
	return o.err
}

func (o *output) send(b []byte) {
	if o.err = o.conn.SetWriteDeadline(time.Now().Add(o.timeout)); o.err == nil {
		_, o.err = o.conn.Write(b)
	}
}
