//go:build peers

package peers

import (
	"bufio"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"waxwing/test/system"
)

// A shape is a message with something about it that servers get wrong. The
// header is whole, so that nobody has to repair it: what arrives must end with
// the message as it was, behind the fields that servers put in front.
type shape struct {
	name string
	to   string // the local part of the only recipient
	mail string // parameters of MAIL
	text string
	need string // an extension that the next server must offer
}

func header(name string, more ...string) string {
	return "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@example.test>\r\nTo: someone@example.test\r\n" +
		"Message-ID: <" + name + "@shapes.example.test>\r\nSubject: " + name + "\r\n" + strings.Join(more, "") + "\r\n"
}

var mime8 = []string{"MIME-Version: 1.0\r\n", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Transfer-Encoding: 8bit\r\n"}

var shapes = []shape{
	{name: "plain", text: header("plain") + "One line.\r\n"},
	{name: "empty-body", text: header("empty-body")},
	{name: "blank-lines", text: header("blank-lines") + "\r\n\r\n\r\nafter three\r\n\r\n\r\n"},
	{name: "dots", text: header("dots") + ".\r\n..\r\n...\r\n.x\r\n\r\n.\r\n. \r\nx.\r\n"},
	{name: "long-lines", text: header("long-lines") + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 5) + strings.Repeat(strings.Repeat(".", 998)+"\r\n", 3)},
	{name: "folded", text: header("folded", "X-Folded: a\r\n\tb\r\n  c\r\n \td\r\n") + "x\r\n"},
	{name: "tabs-and-spaces", text: header("tabs-and-spaces") + " \r\n\t\r\ntrailing  \r\n\ttab\t\r\n"},
	{name: "from-lines", text: header("from-lines") + "From here on\r\n>From there\r\nFrom: nobody\r\n"},
	{name: "eight-bit", mail: " BODY=8BITMIME", need: "8BITMIME", text: header("eight-bit", mime8...) + "Grüße aus Köln\r\n\u4f60\u597d\r\n"},
	{name: "latin-1", mail: " BODY=8BITMIME", need: "8BITMIME", text: header("latin-1", mime8...) + "Gr\xfc\xdfe \x80\xff\r\n"},
	{name: "control", text: header("control") + "a\x01b\x7fc\x1b[0m\x0bx\x0c\r\n"},
	{name: "large", mail: " SIZE=3100000", text: header("large") + strings.Repeat("A line of a large message, which goes on for a while.\r\n", 54_000)},
	{name: "utf8-header", mail: " SMTPUTF8 BODY=8BITMIME", need: "SMTPUTF8", text: header("utf8-header", append([]string{"X-Name: Jürgen\r\n"}, mime8...)...) + "ü\r\n"},
	{name: "utf8-address", to: "jürgen", mail: " SMTPUTF8 BODY=8BITMIME", need: "SMTPUTF8", text: header("utf8-address", mime8...) + "ü\r\n"},
	{name: "odd-address", to: "a.b+c=d_e!f/g", text: header("odd-address") + "x\r\n"},
}

// A speaker is a client that says what it is told.
type speaker struct {
	t    *testing.T
	conn *textproto.Conn
	ehlo string
}

// speak connects, and may log in as alice.
func speak(t *testing.T, addr string, login bool) *speaker {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &speaker{t: t, conn: conn}
	s.expect(220)
	s.ehlo = s.ask(250, "EHLO client.example.test")
	if login {
		s.ask(235, "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3YXh3aW5n")
	}
	return s
}

func (s *speaker) expect(code int) string {
	s.t.Helper()
	_, text, err := s.conn.ReadResponse(code)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *speaker) ask(code int, line string) string {
	s.t.Helper()
	if err := s.conn.PrintfLine("%s", line); err != nil {
		s.t.Fatal(err)
	}
	return s.expect(code)
}

// send sends a message with DATA.
func (s *speaker) send(k shape, from string, to ...string) {
	s.t.Helper()
	s.ask(250, "MAIL FROM:<"+from+">"+k.mail)
	for _, rcpt := range to {
		s.ask(250, "RCPT TO:<"+rcpt+">")
	}
	s.ask(354, "DATA")
	w := bufio.NewWriter(s.conn.W)
	for line := range strings.Lines(k.text) {
		if strings.HasPrefix(line, ".") {
			w.WriteByte('.')
		}
		w.WriteString(line)
	}
	w.WriteString(".\r\n")
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.conn.W.Flush(); err != nil {
		s.t.Fatal(err)
	}
	s.expect(250)
}

// recipient is where a shape goes.
func (k shape) recipient(domain, otherwise string) string {
	if k.to == "" {
		return otherwise + "@" + domain
	}
	return k.to + "@" + domain
}

// compare looks for each shape among what has arrived: once, and unchanged.
func compare(t *testing.T, sent []shape, got []string, newline string) {
	t.Helper()
	for _, k := range sent {
		want := strings.ReplaceAll(k.text, "\r\n", newline)
		subject := "Subject: " + k.name + newline
		found := 0
		for _, text := range got {
			head, _, _ := strings.Cut(text, newline+newline)
			if !strings.Contains(head+newline, newline+subject) {
				continue
			}
			if found++; !strings.HasSuffix(text, want) {
				t.Errorf("%s has changed:\n%.1500q\nand was\n%.1500q", k.name, text, want)
			}
		}
		if found != 1 {
			t.Errorf("%s arrived %d times", k.name, found)
		}
	}
}

// A next is a server that we relay to.
type next struct {
	name string
	port int
	mail func() []string
	log  func() string
}

// What our users send arrives as it was at the servers of others, with all the
// extensions that each offers.
func TestShapesToOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(t *testing.T, domain string) next
	}{
		{"postfix", func(t *testing.T, domain string) next {
			p := system.NewPostfix(t, "myhostname = mail.postfix.test\nmessage_size_limit = 60000000\n"+system.OneMailbox(domain)+
				"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem\nsmtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key\n")
			p.Start()
			return next{"postfix", p.Port, func() []string { return p.Mail("", "all") }, p.Log}
		}},
		{"exim", func(t *testing.T, domain string) next {
			u := system.StartExim(t, domain, "127.0.0.1::9", "", "")
			return next{"exim", u.Port, u.Mail, u.Log}
		}},
		{"opensmtpd", func(t *testing.T, domain string) next {
			u := system.StartOpenSMTPD(t, domain, "host smtp://127.0.0.1:9", "")
			return next{"opensmtpd", u.Port, u.Mail, u.Log}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain := tt.name + ".test"
			server := tt.start(t, domain)
			ehlo := speak(t, fmt.Sprintf("127.0.0.1:%d", server.port), false).ehlo
			resolver := system.StartKnot(t, map[string]string{domain: "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n"})
			b := newBench(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(server.port), "--retry", "1s")
			var sent []shape
			s := speak(t, b.Addr(587), true)
			for _, k := range shapes {
				if k.need != "" && !strings.Contains(ehlo, k.need) {
					continue // what becomes of these is another test's question
				}
				sent = append(sent, k)
				s.send(k, system.Alice, k.recipient(domain, "someone"))
			}
			crowd := shape{name: "crowd", text: header("crowd") + "To many.\r\n"}
			var many []string
			for i := range 150 {
				many = append(many, fmt.Sprintf("person%d@%s", i, domain))
			}
			s.send(crowd, system.Alice, many...)
			b.eventually(fmt.Sprintf("%d messages at %s", len(sent)+len(many), tt.name), func() bool {
				return len(server.mail()) >= len(sent)+len(many)
			})
			compare(t, sent, server.mail(), "\n")
			b.eventually("an empty queue", func() bool {
				return strings.TrimSpace(b.run(system.Binary(t), "queue", "list", "--dir", b.Dir, "--json")) == "[]"
			})
			if n := len(server.mail()); n != len(sent)+len(many) {
				t.Errorf("%d messages arrived, %d were sent", n, len(sent)+len(many))
			}
			t.Logf("%d shapes; %s offers %q", len(sent), tt.name, ehlo)
		})
	}
}

// What the clients of other servers bring arrives as it was: at port 25 with
// what it offers, and at port 587 after STARTTLS and a login.
func TestShapesFromOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		door  int
		start func(t *testing.T, b bench) *system.Unpacked
		log   string // that says how it came
	}{
		{"exim to port 25", 25, func(t *testing.T, b bench) *system.Unpacked {
			return system.StartExim(t, "exim.test", fmt.Sprintf("127.0.0.1::%d", b.Port(25)), b.fill("  hosts_require_tls = *\n  tls_verify_certificates = @CA@\n  tls_verify_cert_hostnames =\n"), "")
		}, "=> bob@example.test"},
		{"exim to port 587", 587, func(t *testing.T, b bench) *system.Unpacked {
			return system.StartExim(t, "exim.test", fmt.Sprintf("127.0.0.1::%d", b.Port(587)),
				b.fill("  hosts_require_tls = *\n  hosts_require_auth = *\n  tls_verify_certificates = @CA@\n  tls_verify_cert_hostnames =\n"),
				"plain:\n  driver = plaintext\n  public_name = PLAIN\n  client_send = ^alice@example.test^waxwing\n")
		}, "A=plain"},
		{"opensmtpd to port 25", 25, func(t *testing.T, b bench) *system.Unpacked {
			return system.StartOpenSMTPD(t, "opensmtpd.test", fmt.Sprintf("host smtp+tls://127.0.0.1:%d tls no-verify", b.Port(25)), "")
		}, "result=\"Ok\""},
		{"opensmtpd to port 587", 587, func(t *testing.T, b bench) *system.Unpacked {
			return system.StartOpenSMTPD(t, "opensmtpd.test", fmt.Sprintf("host smtp+tls://alice@127.0.0.1:%d auth <secrets> tls no-verify", b.Port(587)), "alice alice@example.test:waxwing")
		}, "result=\"Ok\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			u := tt.start(t, b)
			s := speak(t, u.Addr(), false)
			var sent []shape
			for _, k := range shapes {
				if k.to != "" || k.need != "" && !strings.Contains(s.ehlo, k.need) {
					continue // bob is who we have
				}
				sent = append(sent, k)
				s.send(k, system.Alice, system.Bob)
			}
			var got []string
			for i := range sent {
				b.eventually(fmt.Sprintf("message %d of %d", i+1, len(sent)), func() bool {
					text, err := b.try("", "curl", "-sS", "--cacert", b.CA(), "--user", system.Bob+":"+system.Password,
						fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;MAILINDEX=%d", b.Port(993), i+1))
					if err == nil {
						got = append(got, text)
					}
					return err == nil
				})
			}
			compare(t, sent, got, "\r\n")
			b.contains(u.Log(), tt.log)
			for _, text := range got {
				if !strings.Contains(text, "with ESMTPS") && !strings.Contains(text, "with UTF8SMTPS") {
					t.Errorf("without TLS:\n%.800s", text)
				}
			}
			t.Logf("%d shapes, %q", len(sent), slices.Sorted(strings.SplitSeq(s.ehlo, "\n")))
		})
	}
}
