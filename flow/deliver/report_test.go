package deliver_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/test/house"
)

const text = "Subject: hello\r\nMessage-ID: <1@elsewhere.test>\r\n\r\nGrüße\r\n"

// receive takes a message in, as at port 25.
func receive(t *testing.T, h *house.House, env mail.Envelope, to ...mail.Recipient) {
	t.Helper()
	var recipients []deliver.Recipient
	for _, r := range to {
		resolved, err := h.Deliverer.Resolve(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		recipients = append(recipients, resolved)
	}
	hop := deliver.Hop{Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTP"}
	if _, err := h.Receiver.Message(t.Context(), env, recipients, hop, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func rcpt(address string, notify mail.Notify) mail.Recipient {
	return mail.Recipient{Address: house.Address(address), Notify: notify}
}

// queued gives the one item of the queue with its text.
func queued(t *testing.T, h *house.House, n int) (envelopes []mail.Envelope, texts []string) {
	t.Helper()
	items := h.Queued()
	if len(items) != n {
		t.Fatalf("%d items in the queue, want %d", len(items), n)
	}
	for _, it := range items {
		b, err := h.Queue.OpenBody(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		text := make([]byte, b.Size())
		_, _ = b.ReadAt(text, 0)
		envelopes, texts = append(envelopes, it.Envelope), append(texts, string(text))
	}
	return envelopes, texts
}

var ann = house.Address("ann@elsewhere.test")

// RFC 3461 §5.2.3: delivery is told to those who asked, and to nobody else.
func TestDelivered(t *testing.T) {
	h := house.New(t)
	to := rcpt("bob@example.test", mail.NotifySuccess)
	to.Original = "rfc822;Bob@old.test"
	receive(t, h, mail.Envelope{From: ann, ID: "e1", Priority: -2}, to, rcpt("alice@example.test", 0))
	envelopes, texts := queued(t, h, 1)
	env := envelopes[0]
	// RFC 3461 §6.1, RFC 6710 §4.6
	if !env.From.IsNull() || len(env.To) != 1 || env.To[0] != (mail.Recipient{Address: ann, Notify: mail.NotifyNever}) || env.ID != "" || env.Priority != -2 {
		t.Errorf("%+v", env)
	}
	for _, want := range []string{
		"From: Mail Delivery System <postmaster@", "To: ann@elsewhere.test\r\n", "Subject: Your message has been delivered\r\n", "References: <1@elsewhere.test>",
		"Original-Envelope-Id: e1\r\n", "Original-Recipient: rfc822; Bob@old.test\r\nFinal-Recipient: rfc822; bob@example.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
		"text/rfc822-headers", "Received: from [192.0.2.1]", "Subject: hello\r\n",
	} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("%q is missing in %s", want, texts[0])
		}
	}
	if strings.Contains(texts[0], "alice") || strings.Contains(texts[0], "Gr") {
		t.Error(texts[0])
	}
}

// Nothing is told of what comes from the null reverse-path, or was not asked.
func TestNotTold(t *testing.T) {
	h := house.New(t)
	receive(t, h, mail.Envelope{}, rcpt("bob@example.test", mail.NotifySuccess))
	receive(t, h, mail.Envelope{From: ann}, rcpt("bob@example.test", mail.NotifyFailure|mail.NotifyDelay), rcpt("alice@example.test", mail.NotifyNever))
	queued(t, h, 0)
}

// RFC 3461 §5.2.7.2: an alias of one is passed through; §5.2.7.3 (c): one of
// several is told to be expanded, and passes on all wishes but success.
func TestAliases(t *testing.T) {
	h := house.New(t)
	h.Alias("one@example.test", "bob@far.test")
	h.Alias("some@example.test", "bob@far.test", "alice@example.test")
	h.Alias("two@example.test", "bob@far.test", "carol@far.test")
	receive(t, h, mail.Envelope{From: ann, ID: "e1", ReturnHeaders: true}, rcpt("one@example.test", mail.NotifySuccess|mail.NotifyDelay))
	envelopes, _ := queued(t, h, 1)
	if e := envelopes[0]; e.From != ann || e.To[0].Notify != mail.NotifySuccess|mail.NotifyDelay || e.ID != "e1" || !e.ReturnHeaders || !e.EightBit {
		t.Errorf("%+v", e)
	}
	h = house.New(t)
	h.Alias("some@example.test", "bob@far.test", "alice@example.test")
	h.Alias("two@example.test", "bob@far.test", "carol@far.test")
	receive(t, h, mail.Envelope{From: ann}, rcpt("some@example.test", mail.NotifySuccess), rcpt("two@example.test", mail.NotifySuccess|mail.NotifyFailure))
	envelopes, texts := queued(t, h, 3)
	for i, e := range envelopes {
		switch {
		case e.From.IsNull():
			for _, want := range []string{"rfc822; some@example.test\r\nAction: expanded", "rfc822; two@example.test\r\nAction: expanded"} {
				if !strings.Contains(texts[i], want) {
					t.Errorf("%q is missing in %s", want, texts[i])
				}
			}
		case len(e.To) == 1 && e.To[0].Notify != mail.NotifyNever, len(e.To) == 2 && (e.To[0].Notify != mail.NotifyFailure || e.To[1].Notify != mail.NotifyFailure):
			t.Errorf("%+v", e)
		}
	}
}

// RFC 4865 §4.2: what is held stays in the queue for our own, too.
func TestHold(t *testing.T) {
	h := house.New(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	receive(t, h, mail.Envelope{From: ann, HoldUntil: until, Hold: "for;3600"}, rcpt("bob@example.test", 0))
	if got := h.Inbox(h.Bob); len(got) != 0 {
		t.Errorf("bob has %q", got)
	}
	items := h.Queued()
	if len(items) != 1 || !items[0].Due.Equal(until) || items[0].Envelope.Hold != "for;3600" {
		t.Errorf("%+v", items)
	}
}

// RFC 3030 §3: all bits of each octet are kept.
func TestBinaryIsKept(t *testing.T) {
	h := house.New(t)
	to, err := h.Deliverer.Resolve(t.Context(), rcpt("bob@example.test", 0))
	if err != nil {
		t.Fatal(err)
	}
	binary := "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\r\n.\r\n\n\rx"
	env := mail.Envelope{From: ann, EightBit: true, Binary: true}
	if _, err := h.Receiver.Message(t.Context(), env, []deliver.Recipient{to}, deliver.Hop{By: house.Hostname, Protocol: "ESMTP"}, strings.NewReader(binary)); err != nil {
		t.Fatal(err)
	}
	if got := h.Inbox(h.Bob); len(got) != 1 || !strings.HasSuffix(got[0], binary) {
		t.Errorf("bob has %q", got)
	}
}

// Where another store takes the mail of our domains, users are still known, and
// everything goes into the queue.
func TestElsewhere(t *testing.T) {
	h := house.New(t)
	h.Alias("both@example.test", "alice@example.test", "bob@example.test")
	d := deliver.New(h.Directory, h.Mailboxes, h.Queue, h.Blobs, deliver.Options{
		Hostname: house.Hostname, Elsewhere: func(domain string, ours bool) bool { return ours || domain == "other.test" },
	})
	for address, want := range map[string]int{"bob+tag@example.test": 0, "anybody@other.test": 0, "both@example.test": 2} {
		r, err := d.Resolve(t.Context(), rcpt(address, 0))
		if err != nil || r.Elsewhere != (want == 0) || len(r.Route.Accounts) != 0 || len(r.Route.Forwards) != want {
			t.Errorf("%s: %+v, %v", address, r, err)
		}
	}
	if r, err := d.Resolve(t.Context(), rcpt("nobody@example.test", 0)); err == nil {
		t.Errorf("%+v", r)
	}
	if r, err := d.Resolve(t.Context(), rcpt("x@far.test", 0)); err != nil || r.Elsewhere {
		t.Errorf("%+v, %v", r, err)
	}
}
