package receive_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/test/house"
)

var hop = deliver.Hop{
	Hello: "client.test", Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTP",
}

// take receives one message for the recipients.
func take(t *testing.T, h *house.House, text string, to ...string) error {
	t.Helper()
	var recipients []deliver.Recipient
	for _, rcpt := range to {
		r, err := h.Receiver.Recipient(t.Context(), mail.Recipient{Address: house.Address(rcpt)})
		if err != nil {
			return err
		}
		recipients = append(recipients, r)
	}
	env := mail.Envelope{From: house.Address("ann@elsewhere.test")}
	_, err := h.Receiver.Message(t.Context(), env, recipients, hop, strings.NewReader(text))
	return err
}

func code(err error) int {
	var refusal *smtp.Refusal
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}

func TestDelivered(t *testing.T) {
	h := house.New(t)
	if err := take(t, h, "Subject: hello\r\n\r\nFirst light.\r\n", "bob+garden@example.test"); err != nil {
		t.Fatal(err)
	}
	got := h.Inbox(h.Bob)
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	// RFC 5321 §4.4: Return-Path first, then the trace, then what came.
	for i, want := range []string{
		"Return-Path: <ann@elsewhere.test>\r\n",
		"Delivered-To: bob+garden@example.test\r\n",
		"Received: from client.test ([192.0.2.1])\r\n\tby mx.example.test with ESMTP\r\n\tid ",
		"\r\n\tfor <bob+garden@example.test>;\r\n\t",
		"Subject: hello\r\n\r\nFirst light.\r\n",
	} {
		_, rest, ok := strings.Cut(got[0], want)
		if !ok {
			t.Fatalf("part %d, %q, is not where it belongs in %q", i, want, got[0])
		}
		got[0] = rest
	}
	if got[0] != "" {
		t.Errorf("more follows: %q", got[0])
	}
}

// What is typed without a header becomes a body.
func TestNoHeader(t *testing.T) {
	for _, text := range []string{"hello\r\n", "hello", "just: a b c\r\nhello\r\n", "", "\r\nhello\r\n", "two words: x\r\n"} {
		h := house.New(t)
		if err := take(t, h, text, "bob@example.test"); err != nil {
			t.Fatal(err)
		}
		header, body, ok := strings.Cut(h.Inbox(h.Bob)[0], "\r\n\r\n")
		if !ok && text != "" && !strings.HasPrefix(text, "just:") {
			t.Errorf("%q: no empty line behind the header", text)
		}
		if strings.Contains(header, "hello") && !strings.HasPrefix(text, "just:") {
			t.Errorf("%q: the body is in the header: %q, %q", text, header, body)
		}
	}
}

// Each account gets one copy, whatever leads to it; the recipients are not
// told of each other.
func TestSeveralRecipients(t *testing.T) {
	h := house.New(t)
	h.Alias("both@example.test", "alice@example.test", "bob@example.test")
	if err := take(t, h, "Subject: x\r\n\r\n", "both@example.test", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{h.Inbox(h.Alice)[0], h.Inbox(h.Bob)[0]} {
		if strings.Contains(a, "\tfor <") {
			t.Errorf("a recipient stands in Received: %q", a)
		}
	}
	if len(h.Inbox(h.Alice)) != 1 || len(h.Inbox(h.Bob)) != 1 {
		t.Error("not one copy each")
	}
}

func TestRefused(t *testing.T) {
	h := house.New(t)
	h.Alias("away@example.test", "carol@far.test")
	hops := strings.Repeat("Received: from a by b; Sat, 21 Nov 2026 10:00:00 +0000\r\n", deliver.MaxHops+1)
	for _, tt := range []struct {
		what, text, to string
		code           int
	}{
		{"a relay", "", "carol@far.test", 550},
		{"nobody", "", "nobody@example.test", 550},
		{"a loop", hops + "\r\n", "bob@example.test", 554},
		{"a forwarding loop", "Delivered-To: away@example.test\r\n\r\n", "away@example.test", 554},
	} {
		if err := take(t, h, tt.text, tt.to); code(err) != tt.code {
			t.Errorf("%s: %v, want %d", tt.what, err, tt.code)
		}
	}
	if len(h.Inbox(h.Bob))+len(h.Queued()) != 0 {
		t.Error("something was kept")
	}
}

// A forward goes to the queue, with the mark that finds loops.
func TestForward(t *testing.T) {
	h := house.New(t)
	h.Alias("away@example.test", "carol@far.test", "bob@example.test")
	if err := take(t, h, "Subject: x\r\n\r\n", "away@example.test"); err != nil {
		t.Fatal(err)
	}
	queued := h.Queued()
	if len(queued) != 1 || queued[0].Envelope.To[0].Address != house.Address("carol@far.test") || len(h.Inbox(h.Bob)) != 1 {
		t.Fatalf("queued %+v", queued)
	}
	body, err := h.Queue.OpenBody(t.Context(), queued[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text := make([]byte, body.Size())
	if _, err := body.ReadAt(text, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "Delivered-To: away@example.test\r\nReceived: ") {
		t.Errorf("the forward begins %q", text)
	}
}

// One full mailbox: alone it is refused, among others its part waits.
func TestOverQuota(t *testing.T) {
	h := house.New(t)
	if err := h.Mailboxes.SetQuota(t.Context(), h.Bob.ID, 200); err != nil {
		t.Fatal(err)
	}
	text := "Subject: x\r\n\r\n" + strings.Repeat("y", 300) + "\r\n"
	if err := take(t, h, text, "bob@example.test"); code(err) != 552 {
		t.Errorf("alone: %v, want 552", err)
	}
	if err := take(t, h, text, "bob@example.test", "alice@example.test"); err != nil {
		t.Errorf("with alice: %v", err)
	}
	if queued := h.Queued(); len(h.Inbox(h.Alice)) != 1 || len(queued) != 1 || queued[0].Account != h.Bob.ID {
		t.Errorf("alice has %d, queued %+v", len(h.Inbox(h.Alice)), queued)
	}
}
