package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/test/house"
)

// A host is another mail system: a socket with an SMTP server behind it that
// answers as told. The address is the edge of our world.
type host struct {
	t        testing.TB
	listener net.Listener
	// answer gives the reply to a line, to "" for the greeting and to "." for
	// the message; nil accepts everything.
	answer func(line string) string

	mu          sync.Mutex
	connections int
	from        []string // the addresses of clients      // guarded by mu
	messages    []string // guarded by mu
	lines       []string // guarded by mu
}

func newHost(t testing.TB, answer func(line string) string) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newHostOn(t, l, answer)
}

// newHostOn is a host that listens there.
func newHostOn(t testing.TB, l net.Listener, answer func(line string) string) *host {
	t.Helper()
	h := &host{t: t, listener: l, answer: answer}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.connections++
			h.from = append(h.from, conn.RemoteAddr().(*net.TCPAddr).IP.String())
			h.mu.Unlock()
			serving.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return h
}

func (h *host) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(s string) { _, _ = fmt.Fprintf(conn, "%s\r\n", s) }
	greeting := "220 host.test ESMTP"
	if h.answer != nil && h.answer("") != "" {
		greeting = h.answer("")
	}
	if greeting == "close" {
		return
	}
	say(greeting)
	accepted := 0
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.lines = append(h.lines, line)
		h.mu.Unlock()
		reply := ""
		if h.answer != nil {
			reply = h.answer(line)
		}
		switch {
		case reply == "close":
			return
		case reply != "":
			say(reply)
		case line == "DATA" && accepted == 0:
			say("554 5.5.1 no valid recipients")
		case strings.HasPrefix(line, "EHLO"):
			say("250-host.test\r\n250-PIPELINING\r\n250 8BITMIME")
		case line == "DATA":
			say("354 go on")
			text, err := r.ReadDotLines()
			if err != nil {
				return
			}
			reply := "250 2.0.0 taken"
			if h.answer != nil && h.answer(".") != "" {
				reply = h.answer(".")
			}
			if strings.HasPrefix(reply, "250") {
				h.mu.Lock()
				h.messages = append(h.messages, strings.Join(text, "\n"))
				h.mu.Unlock()
			}
			if reply == "close" {
				return
			}
			say(reply)
		case line == "QUIT":
			say("221 bye")
			return
		default:
			if strings.HasPrefix(line, "RCPT") {
				accepted++
			} else {
				accepted = 0
			}
			say("250 2.0.0 ok")
		}
	}
}

func (h *host) port() int { return h.listener.Addr().(*net.TCPAddr).Port }

func (h *host) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.messages...)
}

var zone = dnstest.Zone{
	MX: map[string][]dns.MX{"far.test": {{Host: "dead.far.test", Preference: 5}, {Host: "mx.far.test", Preference: 10}}},
	A:  map[string][]string{"mx.far.test": {"127.0.0.1"}, "dead.far.test": {"127.0.0.99"}, "near.test": {"127.0.0.1"}},
}

// run runs a relay that sends to the host until the test ends.
func run(t *testing.T, h *house.House, to *host, schedule relay.Schedule) {
	t.Helper()
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, zone, relay.Options{
		Hostname: house.Hostname, Port: to.port(), Schedule: schedule, Log: h.Log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func enqueue(t *testing.T, h *house.House, text string, to ...string) {
	t.Helper()
	body, err := blob.StageBytes(t.Context(), h.Blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	env := mail.Envelope{From: h.Alice.Address}
	for _, rcpt := range to {
		env.To = append(env.To, mail.Recipient{Address: house.Address(rcpt)})
	}
	if _, err := h.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{Message: "m", Envelope: env, Body: body}); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for range 2000 {
		if check() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not come to pass", what)
}

const text = "Subject: out\r\n\r\n.dot\r\nbye\r\n"

func TestSent(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	run(t, h, far, relay.Schedule{})
	enqueue(t, h, text, "carol@far.test", "dave@far.test", "erin@near.test")
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
	got := far.got()
	if len(got) != 2 { // one for each domain
		t.Fatalf("%d transactions: %q", len(got), got)
	}
	for _, m := range got {
		if m != "Subject: out\n\n.dot\nbye" {
			t.Errorf("arrived: %q", m)
		}
	}
	if len(h.Inbox(h.Alice)) != 0 {
		t.Error("a bounce for nothing")
	}
}

// One connection takes one message after the other.
func TestReuse(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	for range 5 {
		enqueue(t, h, text, "carol@near.test")
	}
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, zone, relay.Options{Hostname: house.Hostname, Port: far.port(), Attempts: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually(t, "five messages", func() bool { return len(far.got()) == 5 })
	cancel()
	<-done
	if far.connections != 1 {
		t.Errorf("%d connections for five messages", far.connections)
	}
}

// A refusal comes back to the sender, once, for those who were refused.
func TestBounce(t *testing.T) {
	h := house.New(t)
	far := newHost(t, func(line string) string {
		if strings.Contains(line, "nobody@") {
			return "550 5.1.1 never heard of nobody"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{})
	enqueue(t, h, text, "carol@far.test", "nobody@far.test")
	eventually(t, "the bounce", func() bool { return len(h.Inbox(h.Alice)) == 1 })
	bounce := h.Inbox(h.Alice)[0]
	for _, want := range []string{
		"Return-Path: <>\r\n", "From: Mail Delivery System <postmaster@example.test>\r\n", "To: alice@example.test\r\n", "Auto-Submitted: auto-replied",
		"report-type=delivery-status", "Final-Recipient: rfc822; nobody@far.test", "Action: failed", "Status: 5.1.1",
		"Diagnostic-Code: smtp; 550 5.1.1 never heard of nobody", "Subject: out\r\n",
		"Remote-MTA: dns; mx.far.test\r\n", "mx.far.test said: 550 5.1.1 never heard of nobody",
	} {
		if !strings.Contains(bounce, want) {
			t.Errorf("%q is missing in %s", want, bounce)
		}
	}
	if strings.Contains(bounce, "Final-Recipient: rfc822; carol") || len(far.got()) != 1 {
		t.Errorf("carol's part went wrong: %s", bounce)
	}
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
}

// What is put off is tried again; those who have it do not get it again.
func TestRetry(t *testing.T) {
	h := house.New(t)
	var mu sync.Mutex
	tries := 0
	far := newHost(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(line, "RCPT TO:<slow@") {
			if tries++; tries < 3 {
				return "451 4.7.1 come again"
			}
		}
		return ""
	})
	run(t, h, far, relay.Schedule{First: 20 * time.Millisecond})
	enqueue(t, h, text, "carol@far.test", "slow@far.test")
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
	if got := far.got(); len(got) != 2 {
		t.Errorf("%d messages, want one for carol and one for slow", len(got))
	}
	if len(h.Inbox(h.Alice)) != 0 {
		t.Error("a bounce for what was delivered in the end")
	}
}

// After its lifetime a message comes back with what was last said.
func TestExpired(t *testing.T) {
	h := house.New(t)
	far := newHost(t, func(line string) string {
		if strings.HasPrefix(line, "MAIL") {
			return "452 4.3.1 no room"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{First: 10 * time.Millisecond, Lifetime: 100 * time.Millisecond})
	enqueue(t, h, text, "carol@far.test")
	eventually(t, "the bounce", func() bool { return len(h.Inbox(h.Alice)) == 1 })
	bounce := h.Inbox(h.Alice)[0]
	if !strings.Contains(bounce, "Status: 4.4.7") || !strings.Contains(bounce, "452 4.3.1 no room") || !strings.Contains(bounce, "we have tried since ") {
		t.Errorf("the bounce says %s", bounce)
	}
}

// A bounce that cannot be delivered makes no other bounce. RFC 5321 §6.1
func TestNoBounceOfBounces(t *testing.T) {
	h := house.New(t)
	far := newHost(t, func(line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "550 no"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{})
	body, err := blob.StageBytes(t.Context(), h.Blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	_, err = h.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{
		Envelope: mail.Envelope{To: []mail.Recipient{{Address: house.Address("carol@far.test")}}}, Body: body,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
	if len(h.Inbox(h.Alice))+len(h.Inbox(h.Bob)) != 0 {
		t.Error("somebody got a bounce")
	}
}

// A message that was put off because a mailbox was full goes there later.
func TestRedelivery(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	h.Alias("sales@example.test", "bob@example.test")
	run(t, h, far, relay.Schedule{First: 20 * time.Millisecond})
	for recipient, deliveredTo := range map[string]string{
		"bob@example.test":       "bob@example.test",
		"bob+tag@example.test":   "bob+tag@example.test",
		"sales+tag@example.test": "bob+tag@example.test",
		"gone@example.test":      "gone@example.test", // an alias of yesterday
	} {
		body, err := blob.StageBytes(t.Context(), h.Blobs, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		_, err = h.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{
			Message:  "m",
			Envelope: mail.Envelope{From: h.Alice.Address, To: []mail.Recipient{{Address: house.Address(recipient)}}},
			Body:     body, Account: h.Bob.ID, Prefix: []byte("Received: from here\r\n"),
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
		got := h.Inbox(h.Bob)
		want := "Return-Path: <alice@example.test>\r\nDelivered-To: " + deliveredTo + "\r\nReceived: from here\r\n" + text
		if len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("%s: bob has %q", recipient, got)
		}
	}
}

// A host that breaks the line after the message has been sent may have taken
// it: it is tried again, as SMTP must (RFC 1047), and not elsewhere at once.
func TestUnknownOutcome(t *testing.T) {
	h := house.New(t)
	var mu sync.Mutex
	broken := false
	far := newHost(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if line == "." && !broken {
			broken = true
			return "close"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{First: 20 * time.Millisecond})
	enqueue(t, h, text, "carol@far.test")
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
	if len(far.got()) != 1 {
		t.Errorf("taken %d times", len(far.got()))
	}
}
