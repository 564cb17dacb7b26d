//go:build peers

package peers

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/test/system"
)

// forward leads whoever connects to a port to what target names by then, so
// that two servers can be told of each other before either has begun.
func forward(t *testing.T, target func() string) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", target())
				if err != nil {
					return
				}
				defer far.Close()
				go func() { _, _ = io.Copy(far, near); _ = far.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// noticed waits for message n at alice's: OpenSMTPD leaves a host alone for a
// minute with which something went wrong.
func (b bench) noticed(n int) string {
	b.Helper()
	for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(200 * time.Millisecond) {
		text, err := b.try("", "curl", "-sS", "--cacert", b.CA(), "--user", system.Alice+":"+system.Password,
			fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;MAILINDEX=%d", b.Port(993), n))
		if err == nil {
			return text
		}
	}
	b.Fatalf("there is no message %d at alice's", n)
	return ""
}

// What is asked of DSN goes on to Exim and OpenSMTPD, who tell of the delivery
// themselves; and what they ask of us we tell. RFC 3461
func TestNotificationsThroughOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(t *testing.T, domain string, back int) *system.Unpacked
		says  []string // in its notification
	}{
		{"exim", func(t *testing.T, domain string, back int) *system.Unpacked {
			return system.StartExim(t, domain, fmt.Sprintf("127.0.0.1::%d", back), "", "")
		}, []string{"Reporting-MTA: dns; mail.exim.test", "Original-Envelope-ID: QQ314159", "rfc822;Old+2BCarol@exim.test", "Action: delivered"}},
		{"opensmtpd", func(t *testing.T, domain string, back int) *system.Unpacked {
			return system.StartOpenSMTPD(t, domain, fmt.Sprintf("host smtp://127.0.0.1:%d", back), "")
		}, []string{"Subject: Delivery status notification: delivered", "carol@opensmtpd.test"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain := tt.name + ".test"
			var there atomic.Pointer[system.Unpacked]
			port := forward(t, func() string { return there.Load().Addr() })
			resolver := system.StartKnot(t, map[string]string{domain: "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n"})
			b := newBench(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(port), "--retry", "1s")
			there.Store(tt.start(t, domain, b.Port(25)))

			s := speak(t, b.Addr(587), true)
			s.ask(250, "MAIL FROM:<alice@example.test> RET=HDRS ENVID=QQ314159")
			s.ask(250, "RCPT TO:<carol@"+domain+"> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Old+2BCarol@"+domain)
			s.ask(354, "DATA")
			s.ask(250, "Subject: to others\r\n\r\nx\r\n.")
			b.contains(b.noticed(1), tt.says...)

			s = speak(t, there.Load().Addr(), false)
			s.ask(250, "MAIL FROM:<alice@example.test> RET=HDRS ENVID=QQ271828")
			s.ask(250, "RCPT TO:<bob@example.test> NOTIFY=SUCCESS ORCPT=rfc822;Old+2BBob@example.test")
			s.ask(354, "DATA")
			s.ask(250, "From: alice@example.test\r\nSubject: from others\r\n\r\nx\r\n.")
			b.contains(b.noticed(2), "Reporting-MTA: dns; mail.example.test", "Original-Envelope-Id: QQ271828",
				"Original-Recipient: rfc822; Old+Bob@example.test", "Action: delivered", "Subject: from others")
		})
	}
}
