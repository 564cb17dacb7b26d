package smtpserver_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"testing"

	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// idleLimit is what one idle connection may cost in heap and stack. The pipe
// and the client's side, with TLS of its own, are counted in: the server's
// part is about half.
const idleLimit = 30 << 10

// Idle connections are cheap, also after they have had a message.
func TestIdleConnectionIsSmall(t *testing.T) {
	const many = 200
	for _, secure := range []bool{false, true} {
		h := &house{}
		o := smtpserver.Options{ImplicitTLS: secure}
		if secure {
			o.TLS = &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}
		}
		server := smtpserver.New(h.open, o)
		dial := transcript.Pipe(t, func(nc net.Conn) { server.ServeConn(t.Context(), nc) })
		before := inUse()
		conns := make([]net.Conn, many)
		for i := range conns {
			conns[i] = dial()
			if secure {
				conns[i] = tls.Client(conns[i], &tls.Config{InsecureSkipVerify: true})
			}
			in := bufio.NewReader(conns[i])
			for _, line := range []string{"", "HELO x", "MAIL FROM:<a@b>", "RCPT TO:<c@x.test>", "DATA", strings.Repeat("x\r\n", 5000) + "."} {
				if line != "" {
					if _, err := conns[i].Write([]byte(line + "\r\n")); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.messages = nil
		each := (inUse() - before) / many
		t.Logf("TLS %v: %d octets for each", secure, each)
		limit := int64(idleLimit)
		if secure {
			limit *= 3
		}
		if each > limit {
			t.Errorf("TLS %v: %d octets for each", secure, each)
		}
		for _, nc := range conns {
			_ = nc.Close()
		}
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
