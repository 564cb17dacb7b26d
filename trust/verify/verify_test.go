package verify

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/format/authres"
	"waxwing/trust/arc"
	"waxwing/trust/bimi"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
)

var private = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// keys are those of a sender and of a list.
func keys(t testing.TB) (sender, list dkim.SigningKey, z dnstest.Zone) {
	t.Helper()
	key, err := private()
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	sender = dkim.SigningKey{Domain: "sender.example", Selector: "s", Private: edwards}
	list = dkim.SigningKey{Domain: "list.example", Selector: "l", Private: key}
	z = dnstest.Zone{
		TXT: map[string][]string{
			"sender.example":        {"v=spf1 ip4:192.0.2.0/24 -all"},
			"list.example":          {"v=spf1 ip4:198.51.100.0/24 -all"},
			"_dmarc.sender.example": {"v=DMARC1; p=reject"},
		},
	}
	for _, k := range []dkim.SigningKey{sender, list} {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		z.TXT[k.Selector+"._domainkey."+k.Domain] = []string{record}
	}
	return sender, list, z
}

const letter = "From: Ann <ann@sender.example>\r\nTo: l@list.example\r\nSubject: hello\r\n\r\nHello\r\n"

func signed(t testing.TB, k dkim.SigningKey, text string) string {
	t.Helper()
	s := dkim.NewSigner()
	_, _ = s.Write([]byte(text))
	fields, err := s.Finish(time.Unix(1e9, 0), k)
	if err != nil {
		t.Fatal(err)
	}
	return string(fields) + text
}

func find(t testing.TB, z dnstest.Zone, o Origin, text string, options Options) Findings {
	t.Helper()
	m := New(z, options).Begin(t.Context(), time.Unix(1e9, 0), o)
	_, _ = m.Write([]byte(text))
	return m.Finish(t.Context(), time.Unix(1e9, 0))
}

func TestFindings(t *testing.T) {
	sender, list, z := keys(t)
	options := Options{Server: "mx.example.org"}
	direct := Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mail.sender.example", Sender: "ann@sender.example",
		Name: "mail.sender.example", NameStatus: "pass"}
	f := find(t, z, direct, signed(t, sender, letter), options)
	if f.SPF.Result != spf.Pass || f.Helo.Result != spf.None || len(f.DKIM) != 1 || f.DMARC.Result != dmarc.Pass || f.ARC.Status != arc.None {
		t.Errorf("%+v", f)
	}
	header := string(f.Header("mx.example.org", authres.Format("mx.example.org", f.Results())))
	for _, want := range []string{
		"Authentication-Results: mx.example.org;\r\n\tiprev=pass (mail.sender.example)\r\n\t policy.iprev=192.0.2.1;\r\n",
		"\tdkim=pass (256-bit key)\r\n\t header.d=sender.example\r\n",
		"\tspf=pass (ip4:192.0.2.0/24)\r\n\t smtp.mailfrom=ann@sender.example;\r\n",
		"\tspf=none\r\n\t smtp.helo=mail.sender.example;\r\n",
		"\tdmarc=pass (p=reject by sender.example)\r\n\t header.from=sender.example\r\n\t policy.dmarc=reject\r\n",
		"Received-SPF: pass (sender.example designates 192.0.2.1 as permitted sender)\r\n",
	} {
		if !strings.Contains(header, want) {
			t.Errorf("%q is not in\n%s", want, header)
		}
	}

	// Through a list that changes the subject, and seals.
	first := find(t, z, direct, signed(t, sender, letter), Options{Server: "mx.list.example"})
	changed := strings.Replace(signed(t, sender, letter), "hello", "[l] hello", 1)
	s := arc.NewSealer()
	_, _ = s.Write([]byte(changed))
	fields, err := s.Finish(time.Unix(1e9, 0), list, first.ARC.Status, authres.Format("mx.list.example", first.Results()))
	if err != nil {
		t.Fatal(err)
	}
	through := Origin{IP: netip.MustParseAddr("198.51.100.1"), Helo: "mx.list.example", Sender: "l-bounces@list.example"}
	f = find(t, z, through, string(fields)+changed, options)
	if f.SPF.Result != spf.Pass || f.DKIM[0].Status != dkim.Fail || f.ARC.Status != arc.Pass || f.DMARC.Result != dmarc.Fail || f.Sealer != "" {
		t.Errorf("%+v", f)
	}
	options.Sealers = []string{"list.example"}
	if f = find(t, z, through, string(fields)+changed, options); f.Sealer != "list.example" ||
		!strings.Contains(string(f.Header("mx.example.org", authres.Format("mx.example.org", f.Results()))), "it passed at list.example") {
		t.Errorf("%+v", f)
	}
	// A forger who writes the same without the list's key is not believed.
	forged := strings.Replace(string(fields), "b=", "b=AAAA", 1) + changed
	if f = find(t, z, through, forged, options); f.ARC.Status != arc.Fail || f.Sealer != "" {
		t.Errorf("%+v", f)
	}
}

func TestAuthors(t *testing.T) {
	_, _, z := keys(t)
	o := Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "x.example"}
	for header, want := range map[string]dmarc.Result{
		"From: a@sender.example\r\n":                           dmarc.Fail,
		"From: a@sender.example, b@SENDER.example.\r\n":        dmarc.Fail,
		"From: a@sender.example, b@other.example\r\n":          dmarc.PermError,
		"From: a@sender.example\r\nfrom : b@other.example\r\n": dmarc.PermError,
		"From: \"a@x.example\" <a@sender.example>\r\n":         dmarc.Fail,
		"Subject: x\r\n":                    dmarc.PermError,
		"From: nobody\r\n":                  dmarc.PermError,
		"From: a@b\xc3\xbccher.example\r\n": dmarc.NoRecord,
	} {
		if f := find(t, z, o, header+"\r\n", Options{}); f.DMARC.Result != want {
			t.Errorf("%q: %+v", header, f.DMARC)
		}
	}
}

func TestForged(t *testing.T) {
	for field, want := range map[string]bool{
		"Authentication-Results: mx.example.org; spf=pass\r\n":          true,
		"authentication-results :\r\n (hi) MX.Example.ORG 1; none\r\n":  true,
		"Authentication-Results: \"mx.example.org\"; none\r\n":          true,
		"Authentication-Results: (\r\n":                                 true,
		"Authentication-Results: mx.example.com; spf=pass\r\n":          false,
		"Authentication-Results-Old: mx.example.org; spf=pass\r\n":      false,
		"ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n": false,
	} {
		if got := Forged([]byte(field), "mx.example.org"); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
}

func TestAbandon(t *testing.T) {
	_, _, z := keys(t)
	m := New(z, Options{}).Begin(t.Context(), time.Unix(1e9, 0), Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "x.example", Sender: "a@sender.example"})
	_, _ = m.Write([]byte("From: "))
	m.Abandon()
}

// Whose picture may be shown: of who is proven to be the author, and lets nobody
// forge him.
func TestIndicator(t *testing.T) {
	sender, _, z := keys(t)
	z.TXT["default._bimi.sender.example"] = []string{"v=BIMI1; l=https://sender.example/logo.svg; a=https://sender.example/vmc.pem"}
	z.TXT["brand._bimi.sender.example"] = []string{"v=BIMI1; l=https://sender.example/brand.svg"}
	o := Origin{IP: netip.MustParseAddr("192.0.2.1"), Helo: "x.example", Sender: "ann@sender.example"}
	options := Options{Indicators: true}
	const named = "BIMI-Selector: v=BIMI1; s=brand\r\n" + letter
	for _, tt := range []struct {
		what, policy, text string
		want               bimi.Result
		location           string
	}{
		{"proven", "p=reject", letter, bimi.Pass, "https://sender.example/logo.svg"},
		{"set aside", "p=quarantine", letter, bimi.Pass, "https://sender.example/logo.svg"},
		{"mild", "p=none", letter, bimi.Skipped, ""},
		{"mild below", "p=reject; sp=none", letter, bimi.Skipped, ""},
		{"testing", "p=reject; t=y", letter, bimi.Skipped, ""},
		{"a selector", "p=reject", string(signedWith(t, sender, named, "bimi-selector")), bimi.Pass, "https://sender.example/brand.svg"},
		{"a selector that nobody signed", "p=reject", named, bimi.Pass, "https://sender.example/logo.svg"},
		{"no selector", "p=reject", string(signedWith(t, sender, strings.Replace(named, "s=brand", "s=b rand", 1), "bimi-selector")), bimi.Fail, ""},
	} {
		z.TXT["_dmarc.sender.example"] = []string{"v=DMARC1; " + tt.policy}
		f := find(t, z, o, tt.text, options)
		if f.DMARC.Result != dmarc.Pass || f.BIMI.Result != tt.want || f.BIMI.Record.Location != tt.location {
			t.Errorf("%s: %+v", tt.what, f.BIMI)
		}
		header := string(f.Header("mx.example.org", authres.Format("mx.example.org", f.Results())))
		if strings.Contains(header, "\r\nBIMI-Location: v=BIMI1;\r\n\tl="+tt.location) != (tt.location != "") || !strings.Contains(header, "bimi="+string(tt.want)) {
			t.Errorf("%s: %s", tt.what, header)
		}
	}
	z.TXT["_dmarc.sender.example"] = []string{"v=DMARC1; p=reject"}
	o.IP = netip.MustParseAddr("203.0.113.1")
	if f := find(t, z, o, letter, options); f.BIMI.Result != "" {
		t.Errorf("forged: %+v", f.BIMI)
	}
	// Below an organization that does not forbid others to write, nothing is shown.
	z.TXT["sub.sender.example"] = []string{"v=spf1 +all"}
	z.TXT["_dmarc.sub.sender.example"] = []string{"v=DMARC1; p=reject"}
	o.Sender = "ann@sub.sender.example"
	below := strings.ReplaceAll(letter, "ann@sender", "ann@sub.sender")
	if f := find(t, z, o, below, options); f.BIMI.Result != bimi.Pass || f.BIMI.Domain != "sender.example" {
		t.Errorf("below: %+v", f.BIMI)
	}
	z.TXT["_dmarc.sender.example"] = []string{"v=DMARC1; p=none"}
	if f := find(t, z, o, below, options); f.BIMI.Result != bimi.Skipped {
		t.Errorf("below a mild one: %+v", f.BIMI)
	}
}

// signedWith signs a text with one more field.
func signedWith(t testing.TB, k dkim.SigningKey, text, field string) []byte {
	t.Helper()
	var whole dkim.Text
	_, _ = whole.Write([]byte(text))
	whole.End()
	body := dkim.NewBody(dkim.Relaxed)
	body.Write([]byte(text[strings.Index(text, "\r\n\r\n")+4:]))
	body.Finish()
	signature, err := k.Sign("DKIM-Signature", []string{"v=1"}, whole.Header(), body.Sum(), append(dkim.ToSign(whole.Header()), field), time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	return append(signature, text...)
}
