//go:build peers

package peers

import (
	"net"
	"testing"

	"waxwing/test/transcript"
)

// What people type into telnet, and teach each other.
func TestTelnet(t *testing.T) {
	b := newBench(t)
	for _, session := range []struct {
		file string
		port int
	}{
		{"telnet.smtp", 25}, {"telnet.pop3", 110}, {"telnet-auth.pop3", 110}, {"telnet.imap", 143},
	} {
		transcript.Play(t, "testdata/"+session.file, func() net.Conn {
			conn, err := net.Dial("tcp", b.Addr(session.port))
			if err != nil {
				t.Fatal(err)
			}
			return conn
		})
	}
}
