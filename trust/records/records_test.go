package records_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/trust/mtasts"
	"waxwing/trust/records"
)

// policy is that of all tests.
var policy = mtasts.Policy{Mode: mtasts.Testing, MX: []string{"mx.example.test"}, MaxAge: 14 * 24 * time.Hour}

// The id changes exactly when the policy does, and is one that the record takes.
func TestPolicyID(t *testing.T) {
	ids := map[string]bool{}
	for _, change := range []func(p *mtasts.Policy){
		func(*mtasts.Policy) {},
		func(p *mtasts.Policy) { p.Mode = mtasts.Enforce },
		func(p *mtasts.Policy) { p.MX = []string{"mx.example.test", "b.example.test"} },
		func(p *mtasts.Policy) { p.MaxAge += time.Second },
	} {
		p := policy
		change(&p)
		id := records.PolicyID(p)
		if again := records.PolicyID(p); ids[id] || again != id {
			t.Errorf("%+v: %s, %s", p, id, again)
		}
		ids[id] = true
		if read, err := mtasts.ParseRecord([]string{"v=STSv1; id=" + id}); err != nil || read != id {
			t.Errorf("%s: %q, %v", id, read, err)
		}
	}
}

// TestFor holds what a domain needs; every line is one that a zone file takes.
func TestFor(t *testing.T) {
	long := "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 392)
	all := records.For(records.Domain{
		Name: "bücher.test", Host: "mx.example.test",
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
		Keys:      []records.Key{{Selector: "s1", Record: long, State: "the key that signs"}},
		Services:  []records.Service{{Name: "imaps", Port: 993}, {Name: "imap", Port: 143, Priority: 10}},
		TLSTo:     "tls-reports", Autoconfig: true, Policy: policy,
		TLSKeys: []records.TLSKey{{SPKI: []byte("used"), State: "the key in use"}, {SPKI: []byte("next"), State: "the next key", Use: records.Next}},
	})
	var lines []string
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("%s %s %s", r.Name, r.Type, r.Data))
		rr, err := wire.NewRR(r.Line())
		if err != nil {
			t.Errorf("%s: %v", r.Line(), err)
			continue
		}
		if txt, ok := rr.(*wire.TXT); ok && r.Name == "s1._domainkey.xn--bcher-kva.test." && strings.Join(txt.Txt, "") != long {
			t.Errorf("%q", txt.Txt)
		}
		if r.Why == "" {
			t.Errorf("%s: it is not said what it is for", r.Line())
		}
	}
	for _, want := range []string{
		"xn--bcher-kva.test. MX 10 mx.example.test.",
		`xn--bcher-kva.test. TXT "v=spf1 mx -all"`,
		"mx.example.test. A 192.0.2.7",
		"mx.example.test. AAAA 2001:db8::7",
		`mx.example.test. TXT "v=spf1 a -all"`,
		`_dmarc.xn--bcher-kva.test. TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@xn--bcher-kva.test"`,
		`_smtp._tls.xn--bcher-kva.test. TXT "v=TLSRPTv1; rua=mailto:tls-reports@xn--bcher-kva.test"`,
		"_imap._tcp.xn--bcher-kva.test. SRV 10 1 143 mx.example.test.",
		"mta-sts.xn--bcher-kva.test. CNAME mx.example.test.",
		`_mta-sts.xn--bcher-kva.test. TXT "v=STSv1; id=` + records.PolicyID(policy) + `"`,
		"autoconfig.xn--bcher-kva.test. CNAME mx.example.test.",
		"_25._tcp.mx.example.test. TLSA " + records.TLSA([]byte("used")),
		"_25._tcp.mx.example.test. TLSA " + records.TLSA([]byte("next")),
		"_imaps._tcp.xn--bcher-kva.test. SRV 0 1 993 mx.example.test.",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	// A host that is the domain has one SPF record only.
	n := 0
	for _, r := range records.For(records.Domain{Name: "example.test", Host: "example.test"}) {
		if r.Type == "TXT" && r.Name == "example.test." {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d TXT records", n)
	}
}

const (
	key      = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	otherKey = "v=DKIM1; k=ed25519; p=Ld2ggUugukaQA8Kz4OlwHR74hqXTbaTnYShT7Gi9Sow="
)

// good is a zone in which everything is right.
func good() dnstest.Zone {
	return dnstest.Zone{
		MX:  map[string][]dns.MX{"example.test": {{Host: "mx.example.test", Preference: 20}}},
		A:   map[string][]string{"mx.example.test": {"192.0.2.7"}},
		PTR: map[string][]string{"192.0.2.7": {"mx.example.test"}},
		TXT: map[string][]string{
			"example.test":               {"v=spf1 ip4:192.0.2.0/24 ~all", "something=else"},
			"mx.example.test":            {"v=spf1 a -all"},
			"s1._domainkey.example.test": {"v=DKIM1;k=ed25519;p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
			"_dmarc.example.test":        {"v=DMARC1; p=reject"},
			"_smtp._tls.example.test":    {"v=TLSRPTv1; rua=mailto:x@far.test"},
		},
	}
}

// check looks in a zone and gives what is found, by type and name.
func check(t *testing.T, zone dnstest.Zone) map[string]records.Finding {
	t.Helper()
	stub, err := dns.NewStub(dns.StubOptions{Servers: []string{dnstest.Serve(t, zone)}})
	if err != nil {
		t.Fatal(err)
	}
	d := records.Domain{
		Name: "example.test", Host: "mx.example.test", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		Keys: []records.Key{{Selector: "s1", Record: key, State: "the key that signs"}},
	}
	found := map[string]records.Finding{}
	for _, f := range (records.Checker{Source: stub, Now: time.Now()}).Check(t.Context(), d) {
		found[f.Record.Type+" "+f.Record.Name] = f
	}
	return found
}

// What says the same in other words is right.
func TestRight(t *testing.T) {
	for name, f := range check(t, good()) {
		if f.Wrong() || f.State != records.OK && f.Record.Type != "DNSSEC" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Each breakage is found, and said with what to do.
func TestWrong(t *testing.T) {
	const (
		spfName, keyName, dmarcName = "TXT example.test.", "TXT s1._domainkey.example.test.", "TXT _dmarc.example.test."
	)
	for _, tt := range []struct {
		what, name string
		state      records.State
		mend       string
		change     func(z dnstest.Zone)
	}{
		{"no MX", "MX example.test.", records.Missing, "publish it", func(z dnstest.Zone) { delete(z.MX, "example.test") }},
		{"another MX", "MX example.test.", records.Different, "goes to old.example.test.", func(z dnstest.Zone) { z.MX["example.test"][0].Host = "old.example.test" }},
		{"two MX", "MX example.test.", records.OK, "also goes to old.example.test.", func(z dnstest.Zone) {
			z.MX["example.test"] = append(z.MX["example.test"], dns.MX{Host: "old.example.test"})
		}},
		{"no SPF", spfName, records.Missing, "publish it", func(z dnstest.Zone) { delete(z.TXT, "example.test") }},
		{"two SPF", spfName, records.Different, "leave one", func(z dnstest.Zone) { z.TXT["example.test"] = []string{"v=spf1 mx -all", "v=spf1 a -all"} }},
		{"SPF of others", spfName, records.Different, "does not permit this server", func(z dnstest.Zone) { z.TXT["example.test"] = []string{"v=spf1 ip4:198.51.100.1 -all"} }},
		{"SPF for everybody", spfName, records.Different, "permits everybody", func(z dnstest.Zone) { z.TXT["example.test"] = []string{"v=spf1 +all"} }},
		{"SPF for everybody, unsaid", spfName, records.Different, "permits everybody", func(z dnstest.Zone) { z.TXT["example.test"] = []string{"v=spf1 mx all"} }},
		{"SPF for all addresses", spfName, records.Different, "permits everybody", func(z dnstest.Zone) { z.TXT["example.test"] = []string{"v=spf1 mx ip4:0.0.0.0/0 -all"} }},
		{"no key", keyName, records.Missing, "publish it", func(z dnstest.Zone) { delete(z.TXT, "s1._domainkey.example.test") }},
		{"another key", keyName, records.Different, "in place of", func(z dnstest.Zone) { z.TXT["s1._domainkey.example.test"] = []string{otherKey} }},
		{"two keys", keyName, records.Different, "only one", func(z dnstest.Zone) { z.TXT["s1._domainkey.example.test"] = []string{key, otherKey} }},
		{"a torn key", keyName, records.Different, "in place of", func(z dnstest.Zone) { z.TXT["s1._domainkey.example.test"] = []string{key[:30]} }},
		{"no DMARC", dmarcName, records.Missing, "publish it", func(z dnstest.Zone) { delete(z.TXT, "_dmarc.example.test") }},
		{"DMARC that watches", dmarcName, records.OK, "p=quarantine", func(z dnstest.Zone) { z.TXT["_dmarc.example.test"] = []string{"v=DMARC1; p=none"} }},
		{"two DMARC", dmarcName, records.Different, "leave one", func(z dnstest.Zone) {
			z.TXT["_dmarc.example.test"] = []string{"v=DMARC1; p=none", "v=DMARC1; p=reject"}
		}},
		{"nonsense", dmarcName, records.Different, "cannot be read", func(z dnstest.Zone) { z.TXT["_dmarc.example.test"] = []string{"hello"} }},
		{"no address", "A mx.example.test.", records.Missing, "publish it", func(z dnstest.Zone) { delete(z.A, "mx.example.test") }},
		{"another address", "A mx.example.test.", records.Different, "in place of 192.0.2.8", func(z dnstest.Zone) { z.A["mx.example.test"] = []string{"192.0.2.8"} }},
		{"no way back", "PTR 7.2.0.192.in-addr.arpa.", records.Missing, "your provider", func(z dnstest.Zone) { delete(z.PTR, "192.0.2.7") }},
		{"another way back", "PTR 7.2.0.192.in-addr.arpa.", records.Different, "in place of x.far.test.", func(z dnstest.Zone) { z.PTR["192.0.2.7"] = []string{"x.far.test"} }},
		{"failing", dmarcName, records.Unknown, "could not be looked up", func(z dnstest.Zone) { z.Fail["_dmarc.example.test"] = true }},
	} {
		z := good()
		z.Fail = map[string]bool{}
		tt.change(z)
		f := check(t, z)[tt.name]
		if f.State != tt.state || !strings.Contains(f.Mend, tt.mend) {
			t.Errorf("%s: %s, %q, found %q", tt.what, f.State, f.Mend, f.Found)
		}
		if f.Wrong() != (tt.state != records.OK) {
			t.Errorf("%s: wrong is %v", tt.what, f.Wrong())
		}
	}
}
