package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/store/directory"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// RFC 8689 §4.2.1: only over TLS, to a host whose certificate is verified and
// who promises the same.
func TestRequireTLSVerified(t *testing.T) {
	cert := transcript.Certificate(t)
	trusted := x509.NewCertPool()
	trusted.AddCert(cert.Leaf)
	world := dnstest.Zone{
		MX:        map[string][]dns.MX{"tls.test": {{Host: "mail.example", Preference: 10}}, "other.test": {{Host: "mail.other", Preference: 10}}, "unproven.test": {{Host: "mail.example", Preference: 10}}},
		A:         map[string][]string{"mail.example": {"127.0.0.1"}, "mail.other": {"127.0.0.1"}},
		Authentic: true, Inauthentic: map[string]bool{"unproven.test": true},
	}
	for name, tt := range map[string]struct {
		to      string
		honours smtp.Extensions
		roots   *x509.CertPool
		status  string // of the bounce; empty for delivered
	}{
		"kept":               {to: "carol@tls.test", honours: smtp.RequireTLS, roots: trusted},
		"unproven MX":        {to: "carol@unproven.test", honours: smtp.RequireTLS, roots: trusted, status: "Status: 5.7.10"},
		"not promised":       {to: "carol@tls.test", roots: trusted, status: "Status: 5.7.30"},
		"unknown authority":  {to: "carol@tls.test", honours: smtp.RequireTLS, roots: x509.NewCertPool(), status: "Status: 5.7.10"},
		"name does not fit":  {to: "carol@other.test", honours: smtp.RequireTLS, roots: trusted, status: "Status: 5.7.10"},
		"opportunistic, too": {to: "carol@tls.test", roots: x509.NewCertPool()},
	} {
		t.Run(name, func(t *testing.T) {
			h, there := house.New(t), house.New(t)
			if _, err := there.Directory.AddDomain(t.Context(), time.Now(), directory.Domain{Name: "tls.test"}); err != nil {
				t.Fatal(err)
			}
			carol := there.Account("carol@tls.test")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			served := make(chan error, 1)
			server := smtpserver.New(mx.Door(there.Receiver, "mail.example"), smtpserver.Options{
				Hostname: "mail.example", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Honours: tt.honours, DrainTimeout: time.Second,
			})
			go func() { served <- server.Serve(ctx, l) }()
			t.Cleanup(func() { stop(); <-served })

			r := relay.New(h.Queue, h.Deliverer, h.Blobs, world, relay.Options{
				Hostname: house.Hostname, Port: l.Addr().(*net.TCPAddr).Port, TLS: &tls.Config{RootCAs: tt.roots, MinVersion: tls.VersionTLS12}, Log: h.Log,
			})
			relaying, end := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = r.Run(relaying) }()
			t.Cleanup(func() { end(); <-done })

			send(t, h, text, mail.Envelope{RequireTLS: name != "opportunistic, too", To: []mail.Recipient{rcpt(tt.to, 0)}})
			emptied(t, h)
			got, bounced := there.Inbox(carol), h.Inbox(h.Alice)
			switch {
			case tt.status == "" && (len(got) != 1 || len(bounced) != 0):
				t.Errorf("carol has %q, alice has %q", got, bounced)
			case tt.status == "":
				wantAll(t, got[0], "with ESMTPS")
			case len(got) != 0 || len(bounced) != 1:
				t.Errorf("carol has %q, alice has %q", got, bounced)
			default:
				wantAll(t, bounced[0], tt.status)
			}
		})
	}
}
