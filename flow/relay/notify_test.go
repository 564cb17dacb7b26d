package relay_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/lmtp"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/test/house"
	"waxwing/trust/dkim"
)

// offering makes a host offer extensions, and answer as answer says, if it
// does.
func offering(answer func(line string) string, extensions ...string) func(string) string {
	return func(line string) string {
		if strings.HasPrefix(line, "EHLO") {
			return "250-host.test\r\n250-" + strings.Join(append(extensions, "PIPELINING"), "\r\n250-") + "\r\n250 HELP"
		}
		if answer != nil {
			return answer(line)
		}
		return ""
	}
}

// send enqueues a message of alice's with an envelope.
func send(t *testing.T, h *house.House, text string, env mail.Envelope) {
	t.Helper()
	body, err := blob.StageBytes(t.Context(), h.Blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if env.From.IsNull() {
		env.From = h.Alice.Address
	}
	if _, err := h.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{Message: "m", Envelope: env, Body: body}); err != nil {
		t.Fatal(err)
	}
}

func rcpt(address string, notify mail.Notify) mail.Recipient {
	return mail.Recipient{Address: house.Address(address), Notify: notify}
}

// runWith runs a relay with options until the test ends.
func runWith(t *testing.T, h *house.House, o relay.Options) {
	t.Helper()
	runIn(t, h, zone, o)
}

// runIn runs it in another world.
func runIn(t *testing.T, h *house.House, world dnstest.Zone, o relay.Options) {
	t.Helper()
	o.Hostname, o.Log = house.Hostname, h.Log
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, world, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func emptied(t *testing.T, h *house.House) {
	t.Helper()
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
}

func (h *host) heard(prefix string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []string
	for _, line := range h.lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return found
}

func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, want := range parts {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}

// RFC 3461 §5.2.1: what was asked for goes on to a host that knows it, and
// nobody else tells the sender.
func TestWishesPassedOn(t *testing.T) {
	h := house.New(t)
	far := newHost(t, offering(nil, "DSN", "8BITMIME", "MT-PRIORITY", "DELIVERBY 10", "NO-SOLICITING"))
	run(t, h, far, relay.Schedule{})
	to := rcpt("carol@far.test", mail.NotifySuccess|mail.NotifyDelay)
	to.Original = "rfc822;Carol+x=y@far.test"
	send(t, h, text, mail.Envelope{
		ID: "QQ+1", ReturnFull: true, Priority: -1, Solicit: "net.example:ADV",
		By: mail.DeliverBy{At: time.Now().Add(1000 * time.Second), Return: true},
		To: []mail.Recipient{to, rcpt("dave@far.test", 0), rcpt("erin@far.test", mail.NotifyNever)},
	})
	emptied(t, h)
	m := strings.Join(far.heard("MAIL"), "")
	wantAll(t, m, " RET=FULL ENVID=QQ+2B1 ", " MT-PRIORITY=-1", " SOLICIT=net.example:ADV", ";R")
	if !strings.Contains(m, " BY=1000;R") && !strings.Contains(m, " BY=99") {
		t.Error(m)
	}
	wantAll(t, strings.Join(far.heard("RCPT"), "\n"),
		"RCPT TO:<carol@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Carol+2Bx+3Dy@far.test\n", "RCPT TO:<dave@far.test>\n", "RCPT TO:<erin@far.test> NOTIFY=NEVER")
	if got := h.Inbox(h.Alice); len(got) != 0 {
		t.Errorf("alice was told: %q", got)
	}
}

// RFC 3461 §5.2.2: a host that does not know DSN gets no word of it, and the
// sender hears that it has the message, if that was asked for.
func TestRelayed(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	run(t, h, far, relay.Schedule{})
	to := rcpt("carol@far.test", mail.NotifySuccess)
	to.Original = "rfc822;old@far.test"
	send(t, h, "Message-ID: <1@example.test>\r\n"+text, mail.Envelope{ID: "QQ+1", To: []mail.Recipient{to, rcpt("dave@far.test", 0), rcpt("erin@far.test", mail.NotifyNever)}})
	eventually(t, "the notification", func() bool { return len(h.Inbox(h.Alice)) == 1 })
	emptied(t, h)
	got := h.Inbox(h.Alice)[0]
	wantAll(t, got, "Original-Envelope-Id: QQ+1\r\n", "Reporting-MTA: dns; "+house.Hostname, "Arrival-Date: ",
		"Original-Recipient: rfc822; old@far.test\r\nFinal-Recipient: rfc822; carol@far.test\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.far.test\r\n",
		"Diagnostic-Code: smtp; 250 2.0.0 taken", "text/rfc822-headers", "Subject: out\r\n",
		"\r\nSubject: Your message has been passed on\r\n", "\r\nReferences: <1@example.test>\r\n")
	if strings.Contains(got, "dave") || strings.Contains(got, "erin") || strings.Contains(got, ".dot") {
		t.Error(got)
	}
	for _, line := range append(far.heard("MAIL"), far.heard("RCPT")...) {
		if strings.Contains(line, "NOTIFY") || strings.Contains(line, "ENVID") || strings.Contains(line, "ORCPT") {
			t.Error(line)
		}
	}
}

// RFC 3461 §5.2.6 (b): who asked for other news does not hear of failure.
func TestFailureNotWanted(t *testing.T) {
	h := house.New(t)
	far := newHost(t, func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "550 5.1.1 no"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{})
	send(t, h, text, mail.Envelope{To: []mail.Recipient{rcpt("a@far.test", mail.NotifySuccess|mail.NotifyDelay), rcpt("b@far.test", mail.NotifyNever)}})
	emptied(t, h)
	if got := h.Inbox(h.Alice); len(got) != 0 {
		t.Errorf("alice was told: %q", got)
	}
}

// RFC 3461 §5.2.5: a delay is told once, to those who want to know.
func TestDelayWarning(t *testing.T) {
	h := house.New(t)
	ready := time.Now().Add(700 * time.Millisecond)
	far := newHost(t, func(line string) string {
		if strings.HasPrefix(line, "RCPT") && time.Now().Before(ready) {
			return "451 4.2.1 full for now"
		}
		return ""
	})
	runWith(t, h, relay.Options{Port: far.port(), Schedule: relay.Schedule{First: 20 * time.Millisecond}, DelayWarning: 100 * time.Millisecond})
	send(t, h, text, mail.Envelope{To: []mail.Recipient{
		rcpt("carol@far.test", 0), rcpt("dave@far.test", mail.NotifyDelay), rcpt("erin@far.test", mail.NotifyFailure), rcpt("frank@far.test", mail.NotifyNever),
	}})
	emptied(t, h)
	got := h.Inbox(h.Alice)
	if len(got) != 1 {
		t.Fatalf("%d notifications: %q", len(got), got)
	}
	wantAll(t, got[0], "Final-Recipient: rfc822; carol@far.test\r\nAction: delayed\r\nStatus: 4.2.1\r\n", "Final-Recipient: rfc822; dave@far.test\r\nAction: delayed",
		"Will-Retry-Until: ", "Diagnostic-Code: smtp; 451 4.2.1 full for now", "Subject: Your message is delayed", "text/rfc822-headers")
	if strings.Contains(got[0], "erin") || strings.Contains(got[0], "frank") {
		t.Error(got[0])
	}
}

// RFC 2852 §4.1: by-mode R goes to hosts that promise, in time, or comes back;
// by-mode N goes on, and the sender hears of it.
func TestDeliverBy(t *testing.T) {
	for name, tt := range map[string]struct {
		by   mail.DeliverBy
		in   time.Duration
		host []string
		want string // in what alice gets; empty for nothing
		sent bool
	}{
		"R, promised":   {by: mail.DeliverBy{Return: true}, in: time.Hour, host: []string{"DELIVERBY", "DSN"}, sent: true},
		"R, no promise": {by: mail.DeliverBy{Return: true}, in: time.Hour, want: "Status: 5.3.3"},
		"R, too short":  {by: mail.DeliverBy{Return: true}, in: time.Minute, host: []string{"DELIVERBY 240"}, want: "Status: 5.4.7"},
		"R, too late":   {by: mail.DeliverBy{Return: true}, in: -time.Second, host: []string{"DELIVERBY"}, want: "Action: failed\r\nStatus: 5.4.7"},
		"N, no promise": {in: time.Hour, host: []string{"DSN"}, want: "Action: relayed", sent: true},
		"N, promised":   {in: time.Hour, host: []string{"DELIVERBY"}, sent: true},
		"N, trace":      {by: mail.DeliverBy{Trace: true}, in: time.Hour, host: []string{"DELIVERBY"}, want: "Action: relayed", sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := house.New(t)
			far := newHost(t, offering(nil, append(tt.host, "8BITMIME")...))
			run(t, h, far, relay.Schedule{})
			tt.by.At = time.Now().Add(tt.in)
			send(t, h, text, mail.Envelope{By: tt.by, To: []mail.Recipient{rcpt("carol@far.test", 0)}})
			if tt.want != "" {
				eventually(t, "a notification", func() bool { return len(h.Inbox(h.Alice)) == 1 })
				wantAll(t, h.Inbox(h.Alice)[0], tt.want, "Deliver-By-Date: ")
			}
			emptied(t, h)
			if sent := len(far.got()) == 1; sent != tt.sent || tt.want == "" && len(h.Inbox(h.Alice)) != 0 {
				t.Errorf("sent %v, alice has %q", sent, h.Inbox(h.Alice))
			}
			if name == "N, no promise" { // RFC 2852 §4.1.4.2
				wantAll(t, strings.Join(far.heard("RCPT"), ""), "NOTIFY=FAILURE,DELAY")
			}
		})
	}
}

// RFC 2852 §4.1.3: by-mode N, and the time has passed: told once, 4.4.7.
func TestDeadlinePassed(t *testing.T) {
	h := house.New(t)
	far := newHost(t, offering(func(line string) string {
		if strings.HasPrefix(line, "MAIL") && len(h.Inbox(h.Alice)) == 0 {
			return "451 4.3.0 wait" // until she has been told
		}
		return ""
	}, "DELIVERBY"))
	run(t, h, far, relay.Schedule{First: 30 * time.Millisecond})
	send(t, h, text, mail.Envelope{By: mail.DeliverBy{At: time.Now().Add(200 * time.Millisecond)}, To: []mail.Recipient{rcpt("carol@near.test", 0)}})
	emptied(t, h)
	got := h.Inbox(h.Alice)
	if len(got) != 1 {
		t.Fatalf("%d notifications: %q", len(got), got)
	}
	wantAll(t, got[0], "Action: delayed\r\nStatus: 4.4.7")
}

// RFC 9422 §4.2: no more recipients in a transaction than the peer takes.
func TestLimits(t *testing.T) {
	h := house.New(t)
	far := newHost(t, offering(nil, "LIMITS RCPTMAX=2 MAILMAX=100 FROB=x"))
	run(t, h, far, relay.Schedule{})
	env := mail.Envelope{}
	for _, user := range []string{"a", "b", "c", "d", "e"} {
		env.To = append(env.To, rcpt(user+"@far.test", 0))
	}
	send(t, h, text, env)
	emptied(t, h)
	if len(far.got()) != 3 || far.connections != 1 {
		t.Errorf("%d transactions on %d connections", len(far.got()), far.connections)
	}
}

// RFC 9422 §4.3: nor of more domains, where several have the same hosts.
func TestDomainLimit(t *testing.T) {
	h := house.New(t)
	far := newHost(t, offering(nil, "LIMITS RCPTDOMAINMAX=1"))
	same := []dns.MX{{Host: "mx.both.test", Preference: 10}}
	world := dnstest.Zone{
		MX: map[string][]dns.MX{"one.test": same, "two.test": same},
		A:  map[string][]string{"mx.both.test": {"127.0.0.1"}},
	}
	runIn(t, h, world, relay.Options{Port: far.port()})
	send(t, h, text, mail.Envelope{To: []mail.Recipient{rcpt("a@one.test", 0), rcpt("b@two.test", 0), rcpt("c@one.test", 0)}})
	emptied(t, h)
	if len(far.got()) != 2 || far.connections != 1 {
		t.Errorf("%d transactions on %d connections", len(far.got()), far.connections)
	}
}

// RFC 6152 §3: 8-bit content goes to a host without 8BITMIME in another
// encoding, or not at all if that must not be.
func TestDowngrade(t *testing.T) {
	h := house.New(t)
	far := newHost(t, offering(nil, "SIZE"))
	run(t, h, far, relay.Schedule{})
	send(t, h, "Subject: 8\r\n\r\nGrüße\r\n", mail.Envelope{EightBit: true, To: []mail.Recipient{rcpt("carol@far.test", 0)}})
	send(t, h, "Subject: 7\r\n\r\nplain\r\n", mail.Envelope{EightBit: true, To: []mail.Recipient{rcpt("carol@far.test", 0)}})
	emptied(t, h)
	all := strings.Join(far.got(), "\n---\n")
	wantAll(t, all, "Content-Transfer-Encoding: quoted-printable\n", "Gr=C3=BC=C3=9Fe", "Subject: 7\n\nplain")
	signed := "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--b\r\n\r\nx\r\n--b--\r\n"
	send(t, h, signed, mail.Envelope{EightBit: true, To: []mail.Recipient{rcpt("carol@far.test", 0)}})
	eventually(t, "the bounce", func() bool { return len(h.Inbox(h.Alice)) == 1 })
	wantAll(t, h.Inbox(h.Alice)[0], "Status: 5.6.3")
	if len(far.got()) != 2 {
		t.Errorf("%q", far.got())
	}
}

// RFC 8689 §4.2.1, §5: no TLS, no message; and the header alone comes back.
func TestRequireTLS(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	run(t, h, far, relay.Schedule{})
	send(t, h, text, mail.Envelope{RequireTLS: true, ReturnFull: true, To: []mail.Recipient{rcpt("carol@near.test", 0)}})
	eventually(t, "the bounce", func() bool { return len(h.Inbox(h.Alice)) == 1 })
	emptied(t, h)
	wantAll(t, h.Inbox(h.Alice)[0], "Status: 5.7.10", "text/rfc822-headers")
	if len(far.got()) != 0 || len(far.heard("MAIL")) != 0 {
		t.Errorf("it was sent: %q", far.got())
	}
}

// A-labels and U-labels name the same domain: what needs no SMTPUTF8 goes
// without.
func TestDomainInASCII(t *testing.T) {
	h := house.New(t)
	far := newHost(t, nil)
	runWith(t, h, relay.Options{Port: far.port()})
	send(t, h, text, mail.Envelope{UTF8: true, To: []mail.Recipient{rcpt("carol@bücher.test", 0)}})
	send(t, h, text, mail.Envelope{UTF8: true, To: []mail.Recipient{rcpt("jürgen@far.test", 0)}})
	eventually(t, "the bounces", func() bool { return len(h.Inbox(h.Alice)) == 2 })
	all := strings.Join(h.Inbox(h.Alice), "")
	// RFC 6531 §3.5: the other one cannot go; the first has no such domain here.
	wantAll(t, all, "Status: 5.6.7", "Status: 5.1.2")
}

// A domain's mail goes to another store, which answers for each recipient.
func TestRouteToStore(t *testing.T) {
	h, there := house.New(t), house.New(t)
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	server := smtpserver.New(lmtp.Door(there.Receiver, "store.test"), smtpserver.Options{Hostname: "store.test", LMTP: true})
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-served })

	route, err := relay.ParseRoute("*", "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	runWith(t, h, relay.Options{Routes: []relay.Route{route}})
	send(t, h, text, mail.Envelope{From: house.Address("x@elsewhere.test"), To: []mail.Recipient{
		rcpt("bob@example.test", mail.NotifyNever), rcpt("nobody@example.test", mail.NotifyNever), rcpt("alice+tag@example.test", mail.NotifyNever),
	}})
	emptied(t, h)
	if len(there.Inbox(there.Bob)) != 1 || len(there.Inbox(there.Alice)) != 1 || len(h.Inbox(h.Bob)) != 0 {
		t.Errorf("bob has %q", there.Inbox(there.Bob))
	}
	wantAll(t, there.Inbox(there.Alice)[0], "Delivered-To: alice+tag@example.test", "with LMTP", ".dot\r\n")
	for _, to := range []string{"lmtp:127.0.0.1:25", "lmtp:127.0.0.1", "unix:relative", "smtp:x:0", "smtp:", "smtps:a b", "mx:[127.0.0.1]", "direct:x", "http:x", ""} {
		if r, err := relay.ParseRoute("x.test", to); err == nil {
			t.Errorf("%q gives %v", to, r)
		}
	}
}

// A message of ours that has to be converted is signed again, so that its
// signature holds where it arrives.
func TestDowngradedIsSignedAgain(t *testing.T) {
	h := house.New(t)
	keys := h.Sign()
	far := newHost(t, offering(nil, "SIZE"))
	run(t, h, far, relay.Schedule{})
	const text = "From: alice@example.test\r\nSubject: 8\r\n\r\nGrüße\r\n"
	signed := h.Deliverer.SignOwn(t.Context(), time.Now(), "example.test", []byte(text))
	send(t, h, string(signed)+text, mail.Envelope{EightBit: true, To: []mail.Recipient{rcpt("carol@far.test", 0)}})
	emptied(t, h)
	got := strings.ReplaceAll(far.got()[0], "\n", "\r\n")
	var v dkim.Verifier
	_, _ = v.Write([]byte(got))
	passed := 0
	for _, r := range v.Finish(t.Context(), keys, time.Now()) {
		if r.Status == dkim.Pass {
			passed++
		}
	}
	if passed != 2 || !strings.Contains(got, "quoted-printable") {
		t.Errorf("%d signatures pass of %q", passed, got)
	}
}
