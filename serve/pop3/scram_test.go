package pop3

import (
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"waxwing/proto/pop3/pop3server"
)

// A SCRAM exchange of a client that is not ours: the server's signature, which
// +OK cannot carry, comes as a last challenge. RFC 5034 §4, RFC 5802 §3
func TestSCRAM(t *testing.T) {
	h := newHouse(t)
	h.append("bob", inbox...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.serve(l, pop3server.Options{})
	conn, err := net.Dial("tcp", l.Addr().String())
	h.must(err)
	defer conn.Close()
	c := newClient(t, conn)

	user, err := scram.SHA256.NewClient("bob", "waxwing", "")
	h.must(err)
	talk := user.NewConversation()
	message, err := talk.Step("")
	h.must(err)
	send := "AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte(message))
	for {
		_, err := io.WriteString(c.conn, send+"\r\n")
		h.must(err)
		line, err := c.in.ReadString('\n')
		h.must(err)
		if strings.HasPrefix(line, "+OK") && talk.Valid() {
			return
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(line, "+ ")))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		message, err := talk.Step(string(challenge))
		h.must(err)
		send = base64.StdEncoding.EncodeToString([]byte(message))
	}
}
