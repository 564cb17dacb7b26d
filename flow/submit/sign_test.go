package submit_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/test/house"
	"waxwing/trust/dkim"
)

// signatures tells what somebody else makes of a message's signatures.
func signatures(t *testing.T, zone dnstest.Zone, text string) string {
	t.Helper()
	var v dkim.Verifier
	_, _ = v.Write([]byte(text))
	var all []string
	for _, r := range v.Finish(t.Context(), zone, time.Now()) {
		all = append(all, fmt.Sprintf("%s %s %s", r.Algorithm, r.Domain, r.Status))
	}
	return strings.Join(all, ", ")
}

const bothPass = "rsa-sha256 example.test pass, ed25519-sha256 example.test pass"

// What users submit leaves signed as it is after its repair, by both keys of
// the author's domain.
func TestSigned(t *testing.T) {
	h := house.New(t)
	zone := h.Sign()
	for what, text := range map[string]string{
		"nothing but a subject": "Subject: x\r\n\r\nbody\r\n",
		"an author":             "From: Alice <alice@example.test>\r\nTo: x@far.test\r\nSubject: x\r\n\r\nbody\r\n\r\n\r\n",
		"a Bcc":                 "Bcc: carol@far.test\r\nSubject: a\r\n b\r\n\r\nbody",
		"no header":             "hello\r\n",
		"no body":               "Subject: x\r\n",
		"nothing":               "",
		"octets above 127":      "Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe \t \r\n",
		"a large body":          "Subject: x\r\n\r\n" + strings.Repeat("0123456789\r\n", 20_000),
		"a sender":              "From: ann@far.test\r\nSender: alice@example.test\r\n\r\nfor Ann\r\n",
	} {
		if err := submit(t, h, text, "bob@example.test", "carol@far.test"); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all := h.Inbox(h.Bob)
		if got := signatures(t, zone, all[len(all)-1]); got != bothPass {
			t.Errorf("%s: %s in %q", what, got, all[len(all)-1])
		}
	}
	// What goes on to others is the same.
	for item, err := range h.Queue.List(t.Context(), queued) {
		if err != nil {
			t.Fatal(err)
		}
		if got := signatures(t, zone, queuedText(t, h, item)); got != bothPass {
			t.Errorf("in the queue: %s", got)
		}
	}
	// A field cannot be added, nor the signed ones changed.
	last := h.Inbox(h.Bob)[0]
	if got := signatures(t, zone, strings.Replace(last, "Date:", "To: you@x.test\r\nDate:", 1)); strings.Contains(got, "pass") {
		t.Errorf("with a recipient added: %s", got)
	}
}

// Nothing is signed with keys that are not in use, nor for domains of others.
func TestNotSigned(t *testing.T) {
	h := house.New(t)
	if _, err := h.Keys.Add(t.Context(), time.Now(), "example.test"); err != nil {
		t.Fatal(err)
	}
	if err := submit(t, h, "Subject: x\r\n\r\nbody\r\n", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	if got := h.Inbox(h.Bob)[0]; strings.Contains(got, "DKIM-Signature") {
		t.Errorf("%q", got)
	}
}

// The domain of the author signs, whichever the account is in.
func TestAuthorSigns(t *testing.T) {
	h := house.New(t)
	h.Sign()
	if _, err := h.Directory.AddDomain(t.Context(), time.Now(), directory.Domain{Name: "other.test"}); err != nil {
		t.Fatal(err)
	}
	h.Alias("alice@other.test", "alice@example.test")
	if err := submit(t, h, "From: alice@other.test\r\n\r\nbody\r\n", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	if got := h.Inbox(h.Bob)[0]; strings.Contains(got, "DKIM-Signature") {
		t.Errorf("another domain has signed: %q", got)
	}
}

// A notice of ours is signed too.
func TestNoticeIsSigned(t *testing.T) {
	h := house.New(t)
	zone := h.Sign()
	hop := deliver.Hop{Hello: "x", Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTPSA"}
	to := deliver.Recipient{Recipient: mail.Recipient{Address: house.Address("bob@example.test"), Notify: mail.NotifySuccess}}
	r, err := h.Deliverer.Resolve(t.Context(), to.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Submitter.Message(t.Context(), house.Identity(h.Alice), nil, mail.Envelope{From: h.Alice.Address}, []deliver.Recipient{r}, hop, strings.NewReader("\r\nbody\r\n")); err != nil {
		t.Fatal(err)
	}
	n := 0
	for item, err := range h.Queue.List(t.Context(), queued) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		text := queuedText(t, h, item)
		if got := signatures(t, zone, text); got != bothPass || !strings.Contains(text, "Auto-Submitted:") {
			t.Errorf("%s in %q", got, text)
		}
	}
	if n != 1 {
		t.Errorf("%d notices", n)
	}
}

// queued chooses all that is in the queue.
var queued = outqueue.Filter{}

// queuedText is the text of a queue item.
func queuedText(t *testing.T, h *house.House, item *outqueue.Item) string {
	t.Helper()
	body, err := h.Queue.OpenBody(t.Context(), item)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
