package deliver_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/store/outqueue"
	"waxwing/test/house"
	"waxwing/trust/arc"
	"waxwing/trust/dkim"
)

// forwarded gives what others get of a message that an alias leads to them.
func forwarded(t *testing.T, h *house.House, message string, chain arc.Status, results string) string {
	t.Helper()
	r, err := h.Deliverer.Resolve(t.Context(), mail.Recipient{Address: house.Address("away@example.test")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a, err := deliver.Stage(t.Context(), h.Blobs, now, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.Chain, a.Results = chain, results
	if err := h.Deliverer.Deliver(t.Context(), now, a, mail.Envelope{From: ann}, []byte("Received: from x\r\n"), []deliver.Recipient{r}); err != nil {
		t.Fatal(err)
	}
	for item, err := range h.Queue.List(t.Context(), outqueue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := h.Queue.OpenBody(t.Context(), item)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		whole, err := io.ReadAll(body.Reader())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Queue.Delete(t.Context(), item.ID); err != nil {
			t.Fatal(err)
		}
		return string(whole)
	}
	t.Fatal("nothing is in the queue")
	return ""
}

// What is forwarded carries what was found out about it, sealed by the domain
// that forwards. A chain goes on, set by set.
func TestSealed(t *testing.T) {
	h := house.New(t)
	h.Alias("away@example.test", "carol@far.test")
	if got := forwarded(t, h, text, arc.None, ""); strings.Contains(got, "ARC-Seal") {
		t.Errorf("sealed without a key: %q", got)
	}
	zone := h.Sign()
	validate := func(message string) arc.Verdict {
		var v arc.Validator
		_, _ = v.Write([]byte(message))
		return v.Finish(t.Context(), zone)
	}
	once := forwarded(t, h, text, arc.None, "mx.example.test; spf=pass smtp.mailfrom=a.test")
	if v := validate(once); v.Status != arc.Pass || len(v.Links) != 1 || v.Links[0].Domain != "example.test" ||
		!strings.Contains(v.Links[0].Results, "spf=pass") {
		t.Errorf("%+v of %q", v, once)
	}
	if !strings.HasPrefix(once, "ARC-Seal: i=1; a=rsa-sha256;") || !strings.Contains(once, "\r\nDelivered-To: away@example.test\r\nReceived: from x\r\n") {
		t.Errorf("%q", once)
	}
	again := strings.Replace(once, "Delivered-To: away@example.test\r\n", "", 1) // it came by another way
	twice := forwarded(t, h, again, arc.Pass, "")
	if v := validate(twice); v.Status != arc.Pass || len(v.Links) != 2 || strings.TrimSpace(v.Links[1].Results) != house.Hostname+"; none" {
		t.Errorf("%+v of %q", v, twice)
	}
	// A chain that is broken is marked so, and nobody goes on after that.
	broken := forwarded(t, h, strings.Replace(again, "Subject:", "Subject: changed", 1), arc.Fail, "")
	if !strings.Contains(broken, "cv=fail") {
		t.Errorf("%q", broken)
	}
	broken = strings.Replace(broken, "Delivered-To: away@example.test\r\n", "", 1)
	if got := forwarded(t, h, broken, arc.Fail, ""); strings.Count(got, "ARC-Seal:") != strings.Count(broken, "ARC-Seal:") {
		t.Errorf("%q", got)
	}
	// Nobody vouches for what was not verified.
	if got := forwarded(t, h, text, "", ""); strings.Contains(got, "ARC-Seal") {
		t.Errorf("%q", got)
	}
}

// A converted message is signed anew for the domain that has signed it.
func TestSignAgain(t *testing.T) {
	h := house.New(t)
	zone := h.Sign()
	const message = "From: alice@example.test\r\nSubject: x\r\n\r\nbody\r\n"
	top := string(h.Deliverer.SignOwn(t.Context(), time.Now(), "example.test", []byte(message)))
	for _, tt := range []struct {
		what, text string
		signed     bool
	}{
		{"ours", top + "Received: from x\r\n" + message, true},
		{"not signed before", "Received: from x\r\n" + message, false},
		{"signed below our Received", "Received: from x\r\n" + top + message, false},
		{"signed by others", strings.ReplaceAll(top, "d=example.test", "d=far.test") + message, false},
		{"nothing", "", false},
	} {
		converted := strings.Replace(tt.text, "body", "b=6Fdy", 1)
		again := h.Deliverer.SignAgain(t.Context(), time.Now(), func() io.Reader { return strings.NewReader(converted) })
		var v dkim.Verifier
		_, _ = v.Write(append(again, converted...))
		passed := 0
		for _, r := range v.Finish(t.Context(), zone, time.Now()) {
			if r.Status == dkim.Pass {
				passed++
			}
		}
		if want := map[bool]int{true: 2}[tt.signed]; passed != want || tt.signed != (len(again) > 0) {
			t.Errorf("%s: %d signatures pass: %q", tt.what, passed, again)
		}
	}
}
