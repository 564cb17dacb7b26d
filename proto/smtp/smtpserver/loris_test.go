package smtpserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// Who sends an octet now and then, in whatever state, is not waited for any
// longer than who sends nothing: what has to come within a time is the whole
// line, the whole exchange, the message at some rate. RFC 5321 §4.5.3.2
func TestSlowLoris(t *testing.T) {
	cert := transcript.Certificate(t)
	secured := smtpserver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	implicit := secured
	implicit.ImplicitTLS = true
	const clientHello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	const minute = time.Minute
	for _, tt := range []struct {
		name   string
		o      smtpserver.Options
		begin  string
		octet  string
		within time.Duration
	}{
		{"greeting", smtpserver.Options{}, "", "E", 5 * minute},
		{"EHLO", smtpserver.Options{}, "EHLO x\r\n", "M", 5 * minute},
		{"MAIL", smtpserver.Options{}, "EHLO x\r\nMAIL FROM:<a@b>\r\n", "R", 5 * minute},
		{"an over-long line", smtpserver.Options{}, "EHLO x\r\n" + strings.Repeat("x", 3000), "x", 10 * minute},
		{"AUTH", smtpserver.Options{Auth: users{}, PlaintextAuth: true}, "EHLO x\r\nAUTH LOGIN\r\n", "Y", 5 * minute},
		{"between two chunks", smtpserver.Options{}, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@x.test>\r\nBDAT 1\r\nx", "B", 5 * minute},
		{"TLS", implicit, clientHello, "\x00", minute},
		{"STARTTLS", secured, "EHLO x\r\nSTARTTLS\r\n", "\x16", minute},
		{"DATA", smtpserver.Options{}, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n", "x", 11 * minute},
		{"BDAT", smtpserver.Options{}, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@x.test>\r\nBDAT 1000000\r\n", "x", 11 * minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nc := lorisServer(t, tt.o)
				go func() { _, _ = io.Copy(io.Discard, nc) }()
				if _, err := io.WriteString(nc, tt.begin); err != nil {
					t.Fatal(err)
				}
				for start := time.Now(); ; time.Sleep(3 * time.Second) {
					if _, err := io.WriteString(nc, tt.octet); err != nil {
						return // hung up
					}
					if time.Since(start) > tt.within {
						t.Fatalf("still listening after %v", time.Since(start))
					}
				}
			})
		})
	}
}

// Who does not read the replies is not waited for, either.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := lorisServer(t, smtpserver.Options{})
		start := time.Now()
		for time.Since(start) < 10*time.Minute {
			// The pipe has no room: the first reply is what the server waits with.
			err := nc.SetWriteDeadline(time.Now().Add(3 * time.Second))
			if err == nil {
				_, err = io.WriteString(nc, "HELP\r\n")
			}
			if err == io.ErrClosedPipe {
				return // hung up, before either of the two
			}
		}
		t.Error("still waiting")
	})
}

// lorisServer serves one connection.
func lorisServer(t *testing.T, o smtpserver.Options) net.Conn {
	t.Helper()
	h := &house{}
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		smtpserver.New(h.open, o).ServeConn(t.Context(), server)
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-done
	})
	return client
}
