//go:build postgres

package pgkv_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
)

// A proxy stands between a store and the server, and cuts a connection where
// it is told to.
type proxy struct {
	listener net.Listener
	server   string

	mu      sync.Mutex // guards what follows
	request []byte     // cut before what holds this reaches the server
	answer  []byte     // cut before what holds this reaches the store
	cuts    int
}

func startProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	pass := func(to, from net.Conn, what *[]byte) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, 1<<20)
		for {
			n, err := from.Read(b)
			if p.cut(what, b[:n]) || err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { pass(server, client, &p.request) })
	both.Go(func() { pass(client, server, &p.answer) })
	both.Wait()
}

// cut tells whether the connection ends here. It does so once.
func (p *proxy) cut(what *[]byte, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(*what) == 0 || !bytes.Contains(b, *what) {
		return false
	}
	*what = nil
	p.cuts++
	return true
}

func (p *proxy) arm(request, answer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.answer, p.cuts = []byte(request), []byte(answer), 0
}

func (p *proxy) cutsMade() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// through gives a URL that leads through the proxy.
func (p *proxy) through(url string) string {
	return strings.Replace(url, p.server, p.listener.Addr().String(), 1)
}
