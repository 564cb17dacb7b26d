//go:build postgres

package pgkv_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"sync/atomic"
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
	after   []byte     // cut before the answer to what holds this reaches the store
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
	var asked atomic.Bool // after has gone to the server here
	pass := func(to, from net.Conn, cut func([]byte) bool) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, 1<<20)
		for {
			n, err := from.Read(b)
			if cut(b[:n]) || err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() {
		pass(server, client, func(b []byte) bool {
			if p.found(&p.after, b) {
				asked.Store(true)
			}
			return p.cut(p.found(&p.request, b))
		})
	})
	both.Go(func() {
		pass(client, server, func(b []byte) bool { return p.cut(len(b) > 0 && (asked.Load() || p.found(&p.answer, b))) })
	})
	both.Wait()
}

// found tells whether b holds what is looked for. It does so once.
func (p *proxy) found(what *[]byte, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(*what) == 0 || !bytes.Contains(b, *what) {
		return false
	}
	*what = nil
	return true
}

// cut counts the connections that are cut.
func (p *proxy) cut(now bool) bool {
	if now {
		p.mu.Lock()
		p.cuts++
		p.mu.Unlock()
	}
	return now
}

func (p *proxy) arm(request, answer, after string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.answer, p.after, p.cuts = []byte(request), []byte(answer), []byte(after), 0
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
