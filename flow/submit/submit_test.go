package submit_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"waxwing/flow/deliver"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/test/house"
)

func submit(t *testing.T, h *house.House, text string, to ...string) error {
	t.Helper()
	var recipients []deliver.Recipient
	for _, rcpt := range to {
		r, err := h.Submitter.Recipient(t.Context(), mail.Recipient{Address: house.Address(rcpt)})
		if err != nil {
			return err
		}
		recipients = append(recipients, r)
	}
	hop := deliver.Hop{Hello: "[192.0.2.1]", Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTPSA"}
	_, err := h.Submitter.Message(t.Context(), house.Identity(h.Alice), nil, mail.Envelope{From: h.Alice.Address}, recipients, hop, strings.NewReader(text))
	return err
}

func code(err error) int {
	var refusal *smtp.Refusal
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}

// What a client has left out is added, what it should not send is taken out,
// the rest stays to the octet. RFC 6409 §8
func TestRepair(t *testing.T) {
	for _, tt := range []struct{ what, text, stays, gone string }{
		{"nothing but a subject", "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n", ""},
		{"a Bcc", "Bcc: carol@far.test,\r\n dave@far.test\r\nSubject: x\r\n\r\n", "Subject: x\r\n\r\n", "far.test"},
		{"a forged Return-Path", "Return-Path: <a@b.test>\r\nSubject: x\r\n\r\n", "Subject: x\r\n\r\n", "b.test"},
		{"findings of ours", "Authentication-Results: " + house.Hostname + ";\r\n dmarc=pass\r\nReceived-SPF: pass receiver=" + house.Hostname + "\r\nBIMI-Location: x\r\nSubject: x\r\n\r\n", "Subject: x\r\n\r\n", "pass"},
		{"findings of another", "Subject: x\r\nAuthentication-Results: a.example; dmarc=pass\r\n\r\n", "Subject: x\r\nAuthentication-Results: a.example; dmarc=pass\r\n\r\n", ""},
		{"folding", "Subject: a\r\n b\r\nX-Y:\r\n z\r\n\r\n", "Subject: a\r\n b\r\nX-Y:\r\n z\r\n\r\n", ""},
		{"no header", "hello\r\n", "\r\n\r\nhello\r\n", ""},
		{"no empty line", "Subject: x\r\nhello\r\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"only a header", "Subject: x\r\n", "Subject: x\r\n\r\n", ""},
		{"no line end", "Subject: x", "Subject: x\r\n\r\n", ""},
		{"a large header", "Subject: " + strings.Repeat("x ", 20_000) + "\r\n\r\nend\r\n", "\r\n\r\nend\r\n", ""},
		{"nothing", "", "\r\n\r\n", ""},
		{"nobody", "From: \r\nSubject: x\r\n\r\n", "From: <alice@example.test>\r\nSubject: x\r\n\r\n", ""},
		{"many fields", strings.Repeat("X: y\r\n", 20_000) + "Z: end\r\n\r\n", "X: y\r\nZ: end\r\n\r\n", ""},
	} {
		h := house.New(t)
		if err := submit(t, h, tt.text, "bob@example.test"); err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		got := h.Inbox(h.Bob)[0]
		fields := message.ParseHeader([]byte(got))
		for _, name := range []string{"Date", "Message-ID", "From"} {
			if !fields.Has(name) {
				t.Errorf("%s: no %s in %q", tt.what, name, got)
			}
		}
		if id := fields.Get("Message-ID"); !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@"+house.Hostname+">") {
			t.Errorf("%s: Message-ID %q", tt.what, id)
		}
		if !strings.HasSuffix(got, tt.stays) || tt.gone != "" && strings.Contains(got, tt.gone) {
			t.Errorf("%s: got %q", tt.what, got)
		}
	}
}

// What is there already is not added again.
func TestNoRepair(t *testing.T) {
	h := house.New(t)
	text := "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-id: <1@x>\r\nFROM: Alice <alice@example.test>\r\n\r\n"
	if err := submit(t, h, text, "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	if got := h.Inbox(h.Bob)[0]; !strings.HasSuffix(got, "+0000\r\n"+text) {
		t.Errorf("got %q", got)
	}
}

func TestOwnName(t *testing.T) {
	h := house.New(t)
	h.Alias("sales@example.test", "alice@example.test")
	for _, tt := range []struct {
		header string
		code   int
	}{
		{"From: alice@example.test", 0},
		{"From: Alice <Alice+shop@Example.Test>", 0},
		{"From: sales@example.test", 0},
		{"From: bob@example.test", 550},
		{"From: alice@example.test, bob@example.test", 550},
		{"From: alice@example.test, bob@example.test\r\nSender: alice@example.test", 0},
		{"From: alice@example.test\r\nSender: bob@example.test", 550},
		{"From: president@far.test", 550},
		{"From: alice@example.test\r\nFrom: bob@example.test", 550},
		{"Resent-From: alice@example.test\r\nFrom: president@far.test", 0},
		{"Resent-From: alice@example.test\r\nResent-From: bob@example.test\r\nFrom: president@far.test", 0},
		{"Resent-From: bob@example.test\r\nFrom: alice@example.test", 550},
		{"Resent-Sender: alice@example.test\r\nResent-From: bob@example.test\r\nFrom: president@far.test", 0},
		{"Resent-Sender: bob@example.test\r\nResent-From: alice@example.test\r\nFrom: president@far.test", 550},
		{"From:", 0},
		{"From: nobody:;", 0},
		{"From: team: bob@example.test;", 550},
		{strings.Repeat("X: y\r\n", 20_000) + "From: bob@example.test", 550},
	} {
		if err := submit(t, h, tt.header+"\r\n\r\n", "bob@example.test"); code(err) != tt.code {
			t.Errorf("%s: %v, want %d", tt.header, err, tt.code)
		}
	}
	for address, want := range map[string]int{"alice@example.test": 0, "sales@example.test": 0, "bob@example.test": 553, "x@far.test": 553} {
		if err := h.Submitter.Sender(t.Context(), house.Identity(h.Alice), house.Address(address)); code(err) != want {
			t.Errorf("MAIL FROM:<%s>: %v, want %d", address, err, want)
		}
	}
}

// Who has been disabled may not go on with the session that is there.
func TestDisabledMeanwhile(t *testing.T) {
	h := house.New(t)
	sender := func(from mail.Address) int {
		return code(h.Submitter.Sender(t.Context(), house.Identity(h.Alice), from))
	}
	if c := sender(h.Alice.Address); c != 0 {
		t.Fatalf("before: %d", c)
	}
	_, err := h.Directory.UpdateAccount(t.Context(), h.Alice.ID, func(a *directory.Account) error { a.Disabled = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if c := sender(h.Alice.Address); c != 550 {
		t.Errorf("disabled: %d", c)
	}
	if c := sender(mail.Address{}); c != 550 {
		t.Errorf("disabled, null reverse-path: %d", c)
	}
}

// Ours are delivered, others are queued, in one go.
func TestBothWays(t *testing.T) {
	h := house.New(t)
	if err := submit(t, h, "Subject: x\r\n\r\n", "bob@example.test", "carol@far.test", "dave@near.test"); err != nil {
		t.Fatal(err)
	}
	queued := h.Queued()
	if len(h.Inbox(h.Bob)) != 1 || len(queued) != 1 || len(queued[0].Envelope.To) != 2 {
		t.Fatalf("bob has %d, queued %+v", len(h.Inbox(h.Bob)), queued)
	}
	want := outqueue.Origin{Account: h.Alice.ID, Service: "submission", Remote: "192.0.2.1", Hello: "[192.0.2.1]"}
	if queued[0].Origin != want {
		t.Errorf("the queue says it came from %+v", queued[0].Origin)
	}
}

func TestVerify(t *testing.T) {
	h := house.New(t)
	h.Alias("all@example.test", "alice@example.test", "bob@example.test")
	who := house.Identity(h.Alice)
	for name, want := range map[string]int{"bob": 250, "<bob@example.test>": 250, "nobody": 550, "a@far.test": 252, "a b": 553} {
		r, err := h.Submitter.Verify(t.Context(), who, name)
		if got := max(r.Code, code(err)); got != want {
			t.Errorf("VRFY %s: %v, %v; want %d", name, r, err, want)
		}
	}
	r, err := h.Submitter.Expand(t.Context(), who, "all")
	if err != nil || !strings.Contains(r.Text, "<alice@example.test>") || !strings.Contains(r.Text, "<bob@example.test>") {
		t.Errorf("EXPN all: %v, %v", r, err)
	}
}
