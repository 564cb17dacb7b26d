package netserver

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

var proxyHeaders = []struct {
	header        string
	remote, local string // empty for the connection's own
	bad           bool
}{
	{header: "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n", remote: "192.0.2.1:56324", local: "198.51.100.7:25"},
	{header: "PROXY TCP6 2001:db8::1 2001:db8::25 1 65535\r\n", remote: "[2001:db8::1]:1", local: "[2001:db8::25]:65535"},
	{header: "PROXY UNKNOWN\r\n"},
	{header: "PROXY UNKNOWN ffff::1 x y z\r\n"},
	{header: v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x00\x19", remote: "192.0.2.1:56324", local: "198.51.100.7:25"},
	{header: v2 + "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x00\x19\x04\x00\x00", remote: "192.0.2.1:56324", local: "198.51.100.7:25"},
	{header: v2 + "\x21\x21\x00\x24" + strings.Repeat("\x00", 15) + "\x01" + strings.Repeat("\x00", 15) + "\x02\x00\x01\x00\x02", remote: "[::1]:1", local: "[::2]:2"},
	{header: v2 + "\x20\x00\x00\x00"},
	{header: v2 + "\x21\x00\x00\x00"},
	{header: "EHLO mail.example\r\n", bad: true},
	{header: "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", bad: true},
	{header: "PROXY TCP4 2001:db8::1 198.51.100.7 1 2\r\n", bad: true},
	{header: "PROXY TCP6 192.0.2.1 2001:db8::1 1 2\r\n", bad: true},
	{header: "PROXY TCP4 192.0.2.1 198.51.100.7 65536 25\r\n", bad: true},
	{header: "PROXY TCP4 192.0.2.1 198.51.100.7 01 25\r\n", bad: true},
	{header: "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", bad: true},
	{header: v2 + "\x31\x11\x00\x0c" + strings.Repeat("\x00", 12), bad: true},
	{header: v2 + "\x22\x11\x00\x0c" + strings.Repeat("\x00", 12), bad: true},
	{header: v2 + "\x21\x11\x00\x0b" + strings.Repeat("\x00", 11), bad: true},
	{header: v2 + "\x21\x12\x00\x0c" + strings.Repeat("\x00", 12), bad: true},
	{header: v2 + "\x21\x11\xff\xff", bad: true},
	{header: v2, bad: true},
	{header: "", bad: true},
}

func TestProxyHeader(t *testing.T) {
	for _, tt := range proxyHeaders {
		in := strings.NewReader(tt.header + "EHLO x")
		if tt.bad && len(tt.header) < 20 {
			in = strings.NewReader(tt.header)
		}
		remote, local, err := parseProxy(in)
		if tt.bad {
			if err == nil {
				t.Errorf("%q: %v, %v", tt.header, remote, local)
			}
			continue
		}
		var wantRemote, wantLocal netip.AddrPort
		if tt.remote != "" {
			wantRemote, wantLocal = netip.MustParseAddrPort(tt.remote), netip.MustParseAddrPort(tt.local)
		}
		rest, _ := io.ReadAll(in)
		if err != nil || remote != wantRemote || local != wantLocal || string(rest) != "EHLO x" {
			t.Errorf("%q: %v, %v, %v, rest %q", tt.header, remote, local, err, rest)
		}
	}
}

// A header takes no octet too many, and both ends are told or none.
func FuzzProxyHeader(f *testing.F) {
	for _, tt := range proxyHeaders {
		f.Add([]byte(tt.header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(append(b, "rest"...))
		remote, local, err := parseProxy(in)
		if err != nil {
			return
		}
		if remote.IsValid() != local.IsValid() {
			t.Fatalf("%q: %v, %v", b, remote, local)
		}
		used := len(b) + 4 - in.Len()
		again, _, err := parseProxy(bytes.NewReader(append(b, "rest"...)[:used]))
		if err != nil || again != remote {
			t.Fatalf("%q: %v, then %v, %v", b, remote, again, err)
		}
	})
}

// Only those who are trusted speak for others; what they say counts.
func TestProxies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t, echo{}, Options{MaxPerAddress: 1, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}})
		say := func(nc net.Conn, s string) string {
			_, _ = io.WriteString(nc, s) // the server may have had enough of it
			return hear(t, nc)
		}
		if got := say(dial(t, l, "192.0.2.1"), "PROXY TCP4 198.51.100.1 192.0.2.25 1 25\r\n"); got != "hello" {
			t.Errorf("first: %q", got)
		}
		if got := say(dial(t, l, "192.0.2.1"), "PROXY TCP4 198.51.100.2 192.0.2.25 1 25\r\n"); got != "hello" {
			t.Errorf("for another: %q", got)
		}
		if got := say(dial(t, l, "192.0.2.2"), "PROXY TCP4 198.51.100.1 192.0.2.25 1 25\r\n"); got != "busy!" {
			t.Errorf("for the first again: %q", got)
		}
		if got := say(dial(t, l, "192.0.2.1"), "QUIT QUIT QUIT"); got != "" {
			t.Errorf("without a header: %q", got)
		}
		if got := hear(t, dial(t, l, "192.0.2.1")); got != "" { // it waits for ten seconds
			t.Errorf("silence: %q", got)
		}
		if got := hear(t, dial(t, l, "203.0.113.1")); got != "hello" {
			t.Errorf("a stranger: %q", got)
		}
	})
}
