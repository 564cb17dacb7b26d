package smtpserver_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// An independent client logs in with SCRAM, bound to the channel in each way
// that there is. tls-server-end-point needs the certificate that the server
// presented, however the configuration chose it.
func TestSCRAM(t *testing.T) {
	certificate := transcript.Certificate(t)
	configs := map[string]*tls.Config{
		"certificates":   {Certificates: []tls.Certificate{certificate}},
		"GetCertificate": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }},
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{certificate}}, nil
		}},
	}
	for name, config := range configs {
		for _, binding := range []scram.ChannelBindingType{"", scram.ChannelBindingTLSExporter, scram.ChannelBindingTLSServerEndpoint} {
			t.Run(fmt.Sprint(name, " ", binding), func(t *testing.T) {
				h := &house{}
				server := smtpserver.New(h.open, smtpserver.Options{TLS: config, ImplicitTLS: true, Auth: users{}})
				nc := tls.Client(transcript.Pipe(t, func(nc net.Conn) { server.ServeConn(t.Context(), nc) })(), &tls.Config{InsecureSkipVerify: true})
				d := &dialog{t: t, nc: nc, in: bufio.NewReader(nc)}
				d.expect("220 ")
				d.say("EHLO c.example", "250 ")
				d.scram(binding)
				d.say("QUIT", "221 ")
			})
		}
	}
}

type dialog struct {
	t  *testing.T
	nc *tls.Conn
	in *bufio.Reader
}

func (d *dialog) say(line, want string) string {
	d.t.Helper()
	if _, err := d.nc.Write([]byte(line + "\r\n")); err != nil {
		d.t.Fatal(err)
	}
	return d.expect(want)
}

func (d *dialog) expect(want string) string {
	d.t.Helper()
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			d.t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(line, want); ok {
			return strings.TrimSpace(rest)
		}
		if line[3] != '-' {
			d.t.Fatalf("got %q, want %q", line, want)
		}
	}
}

func (d *dialog) scram(binding scram.ChannelBindingType) {
	d.t.Helper()
	client, err := scram.SHA256.NewClient("ann", "secret", "")
	if err != nil {
		d.t.Fatal(err)
	}
	state := d.nc.ConnectionState()
	verb, conversation := "AUTH SCRAM-SHA-256-PLUS", (*scram.ClientConversation)(nil)
	switch binding {
	case "":
		verb, conversation = "AUTH SCRAM-SHA-256", client.NewConversation()
	case scram.ChannelBindingTLSExporter:
		cb, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			d.t.Fatal(err)
		}
		conversation = client.NewConversationWithChannelBinding(cb)
	default:
		cb, err := scram.NewTLSServerEndpointBinding(&state)
		if err != nil {
			d.t.Fatal(err)
		}
		conversation = client.NewConversationWithChannelBinding(cb)
	}
	challenge, next := "", ""
	for line := verb + " "; ; line = "" {
		if next, err = conversation.Step(challenge); err != nil {
			d.t.Fatal(err)
		}
		line += base64.StdEncoding.EncodeToString([]byte(next))
		if conversation.Done() {
			// RFC 4954 §4: the server's last word is answered with nothing.
			d.say(line, "235 2.7.0 ")
			return
		}
		b, err := base64.StdEncoding.DecodeString(d.say(line, "334 "))
		if err != nil {
			d.t.Fatal(err)
		}
		challenge = string(b)
	}
}
