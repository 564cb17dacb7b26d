package receive_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/receive"
	"waxwing/mail"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/store/trace"
	"waxwing/test/house"
	"waxwing/trust/dkim"
)

// A sender is a domain whose mail is proven, with the DNS that tells how.
type sender struct {
	key  dkim.SigningKey
	zone dnstest.Zone
}

func newSender(tb testing.TB) sender {
	tb.Helper()
	seed := sha256.Sum256([]byte("a.example"))
	return publish(tb, dkim.SigningKey{Domain: "a.example", Selector: "s", Private: ed25519.NewKeyFromSeed(seed[:])})
}

// rsaSender signs as most do.
func rsaSender(tb testing.TB) sender {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return publish(tb, dkim.SigningKey{Domain: "a.example", Selector: "s", Private: key})
}

func publish(tb testing.TB, key dkim.SigningKey) sender {
	tb.Helper()
	record, err := key.Record()
	if err != nil {
		tb.Fatal(err)
	}
	return sender{key, dnstest.Zone{
		PTR: map[string][]string{"192.0.2.7": {"mx.a.example"}, "192.0.2.8": {"list.example"}},
		A:   map[string][]string{"mx.a.example": {"192.0.2.7"}, "list.example": {"192.0.2.8"}},
		TXT: map[string][]string{
			"s._domainkey.a.example": {record},
			"a.example":              {"v=spf1 ip4:192.0.2.7 -all"},
			"list.example":           {"v=spf1 ip4:192.0.2.8 -all"},
			"_dmarc.a.example":       {"v=DMARC1; p=reject"},
			"_dmarc.b.example":       {"v=DMARC1; p=quarantine"},
		},
	}}
}

// sign signs a message.
func (s sender) sign(tb testing.TB, text string) string {
	tb.Helper()
	signer := dkim.NewSigner()
	_, _ = signer.Write([]byte(text))
	fields, err := signer.Finish(time.Now(), s.key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(fields) + text
}

// proving gives a receiver that verifies, with what it tells.
func proving(tb testing.TB, h *house.House, zone dnstest.Zone) (*receive.Receiver, *notes) {
	tb.Helper()
	known, err := peers.Open(tb.Context(), memkv.New(), peers.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	rules := policy.Defaults()
	rules.Connections, rules.Messages, rules.Recipients, rules.Greylist = 0, 0, 0, policy.GreyOff
	rules.Trust.Unverified = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	rules.Trusted = rules.Trust.Unverified
	told := &notes{}
	if _, ok := tb.(*testing.B); ok {
		told.deaf = true
	}
	d := deliver.New(h.Directory, h.Mailboxes, h.Queue, h.Blobs, deliver.Options{Hostname: house.Hostname, Trace: told, Log: h.Log})
	return receive.New(d, h.Blobs, receive.Options{
		Hostname: house.Hostname, Rules: rules, Peers: known, Resolver: zone, Trace: told, Log: h.Log,
		Indicators: zone.TXT["default._bimi.a.example"] != nil,
	}), told
}

// bring brings a message from a host.
func bring(tb testing.TB, h *house.House, r *receive.Receiver, host, from, text string) error {
	tb.Helper()
	addr := netip.MustParseAddr(host)
	v, err := r.Visit(tb.Context(), receive.Caller{Addr: addr, Log: h.Log})
	if err != nil {
		tb.Fatal(err)
	}
	defer v.Close()
	v.Hello("mx.a.example")
	sender := house.Address(from)
	if err := v.Mail(sender); err != nil {
		tb.Fatal(err)
	}
	to, err := v.Recipient(tb.Context(), mail.Recipient{Address: h.Bob.Address})
	if err != nil {
		tb.Fatal(err)
	}
	hop := deliver.Hop{Hello: "mx.a.example", Addr: addr, By: house.Hostname, Protocol: "ESMTP"}
	_, err = v.Message(tb.Context(), mail.Envelope{From: sender}, []deliver.Recipient{to}, hop, strings.NewReader(text))
	return err
}

const letter = "From: Ann <ann@a.example>\r\nTo: bob@example.test\r\nSubject: hello\r\n\r\nHello\r\n"

// What is proven stands above our Received; what was forged in our name is
// gone, and what was signed is verified with it. RFC 8601 §4.1, §5
func TestProven(t *testing.T) {
	h, s := house.New(t), newSender(t)
	r, _ := proving(t, h, s.zone)
	forged := "Authentication-Results: mx.example.test; dmarc=pass header.from=bank.example\r\n" +
		"Authentication-Results: mx.a.example; auth=pass\r\n"
	if err := bring(t, h, r, "192.0.2.7", "ann@a.example", s.sign(t, forged+letter)); err != nil {
		t.Fatal(err)
	}
	got := h.Inbox(h.Bob)[0]
	for _, want := range []string{
		"Return-Path: <ann@a.example>\r\n",
		"Authentication-Results: mx.example.test;\r\n\tiprev=pass (mx.a.example)\r\n\t policy.iprev=192.0.2.7;\r\n",
		"\tdkim=pass (256-bit key)\r\n\t header.d=a.example\r\n",
		"\tspf=pass (ip4:192.0.2.7)\r\n\t smtp.mailfrom=ann@a.example;\r\n",
		"\tdmarc=pass (p=reject by a.example)\r\n\t header.from=a.example\r\n\t policy.dmarc=reject\r\n",
		"Received-SPF: pass (a.example designates 192.0.2.7 as permitted sender)\r\n",
		"Received: from mx.a.example ([192.0.2.7])\r\n",
		"DKIM-Signature: ",
		"\r\nAuthentication-Results: mx.a.example; auth=pass\r\nFrom: Ann",
	} {
		_, rest, ok := strings.Cut(got, want)
		if !ok {
			t.Fatalf("%q is not where it belongs in\n%s", want, got)
		}
		got = rest
	}
	if strings.Contains(h.Inbox(h.Bob)[0], "bank.example") {
		t.Error("what was forged is still there")
	}
}

// Where a proven author's picture is stands in the message and in the trace; what
// others say of that is gone.
func TestIndicator(t *testing.T) {
	h, s := house.New(t), newSender(t)
	s.zone.TXT["default._bimi.a.example"] = []string{"v=BIMI1; l=https://a.example/logo.svg"}
	r, told := proving(t, h, s.zone)
	const forged = "BIMI-Location: v=BIMI1;\r\n l=https://bank.example/logo.svg\r\nBIMI-Indicator: PHN2Zz4=\r\n"
	if err := bring(t, h, r, "192.0.2.7", "ann@a.example", forged+letter); err != nil {
		t.Fatal(err)
	}
	got := h.Inbox(h.Bob)[0]
	if !strings.Contains(got, "\tbimi=pass\r\n\t header.d=a.example\r\n\t header.selector=default\r\n\t policy.authority=none\r\n") ||
		!strings.Contains(got, "\r\nBIMI-Location: v=BIMI1;\r\n\tl=https://a.example/logo.svg\r\n") ||
		strings.Contains(got, "bank.example") || strings.Contains(got, "BIMI-Indicator") {
		t.Error(got)
	}
	if !told.fact("bimi", "pass for a.example (default), https://a.example/logo.svg") {
		t.Errorf("%+v", told.all)
	}
}

// Mail that is not proven is refused, or set aside, as its author's domain
// wants; each with its reason in the trace.
func TestNotProven(t *testing.T) {
	h, s := house.New(t), newSender(t)
	r, told := proving(t, h, s.zone)
	changed := strings.Replace(s.sign(t, letter), "Subject: hello", "Subject: [l] hello", 1)
	err := bring(t, h, r, "192.0.2.8", "ann@a.example", letter)
	if code(err) != 550 || !strings.Contains(err.Error(), "550 5.7.26 this message is not proven to be from a.example") {
		t.Error(err)
	}
	if !told.has(trace.Refused, "bob@", "DMARC fails, and a.example wants such mail refused") ||
		!told.fact("spf", "fail for a.example by -all") || !told.fact("dkim", "no signature") ||
		!told.fact("dmarc", "fail for a.example: neither SPF nor DKIM proves a domain of the author") {
		t.Errorf("%+v", told.all)
	}
	if err := bring(t, h, r, "192.0.2.8", "l@list.example", changed); code(err) != 550 {
		t.Errorf("changed on its way: %v", err)
	}
	if !told.fact("spf", "pass for list.example by ip4:192.0.2.8") || !told.fact("dkim", "fail for a.example (s, ed25519-sha256): the signature does not fit the header") {
		t.Errorf("%+v", told.all)
	}
	// Nobody is told what DMARC says of those who publish nothing.
	if err := bring(t, h, r, "192.0.2.8", "ann@nowhere.example", "From: ann@nowhere.example\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if n := len(h.Inbox(h.Bob)); n != 1 {
		t.Errorf("%d in INBOX", n)
	}
	if err := bring(t, h, r, "192.0.2.8", "ann@b.example", "From: ann@b.example\r\n\r\nset aside\r\n"); err != nil {
		t.Error(err)
	}
	if err := bring(t, h, r, "192.0.2.8", "l@list.example", "List-Id: The list <l.list.example>\r\n"+changed); err != nil {
		t.Errorf("through a list: %v", err)
	}
	if !told.fact("verdict", "through l.list.example, proven to be from list.example") {
		t.Errorf("%+v", told.all)
	}
	junk := h.In(h.Bob, "Junk")
	if len(junk) != 2 || !strings.Contains(junk[0], "\r\nX-Spam: Yes\r\nAuthentication-Results: mx.example.test;") {
		t.Errorf("%q", junk)
	}
	// This machine is not verified, and what it says of us stays.
	if err := bring(t, h, r, "127.0.0.1", "ann@a.example", "Authentication-Results: mx.example.test; none\r\n"+letter); err != nil {
		t.Error(err)
	}
	if in := h.Inbox(h.Bob); len(in) != 2 || strings.Count(in[1], "Authentication-Results:") != 1 {
		t.Errorf("%q", in)
	}
}

// fact tells whether a step was told with a fact.
func (n *notes) fact(name, words string) bool {
	for _, e := range n.all {
		for _, f := range e.Facts {
			if f.Name == name && strings.Contains(f.Value, words) {
				return true
			}
		}
	}
	return false
}

// What verifying adds to taking a message, with all answers at hand.
func BenchmarkProven(b *testing.B) {
	s := rsaSender(b)
	for _, size := range []int{4 << 10, 64 << 10} {
		line := strings.Repeat("x", 76) + "\r\n"
		text := s.sign(b, letter+strings.Repeat(line, size/len(line)))
		for name, host := range map[string]string{"unverified": "127.0.0.1", "verified": "192.0.2.7"} {
			b.Run(name+"/"+mail.ByteCount(size).String(), func(b *testing.B) {
				h := house.New(b)
				r, _ := proving(b, h, s.zone)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := bring(b, h, r, host, "ann@a.example", text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
