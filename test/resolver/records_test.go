//go:build peers

package resolver

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns/recursor"
	"waxwing/test/system"
	"waxwing/trust/mtasts"
	publish "waxwing/trust/records"
)

// What "waxwing dns" prints is taken by knot as a zone file, and then nothing is
// to be mended; each breakage of it is found.
func TestRecords(t *testing.T) {
	const keyOfMail = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	policy := mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx.right.test"}, MaxAge: 14 * 24 * time.Hour}
	domain := func(name string) publish.Domain {
		p := policy
		p.MX = []string{"mx." + name}
		return publish.Domain{
			Name: name, Host: "mx." + name, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
			Keys: []publish.Key{{Selector: "s1", Record: keyOfMail, State: "the key that signs"}}, Policy: p, Autoconfig: true,
			DMARCTo: "dmarc-reports", TLSTo: "tls-reports",
			TLSKeys:  []publish.TLSKey{{SPKI: []byte("used"), State: "the key in use"}, {SPKI: []byte("next"), State: "the next key", Use: publish.Next}},
			Services: []publish.Service{{Name: "imaps", Port: 993}, {Name: "submission", Port: 587, Priority: 10}},
		}
	}
	zoneOf := func(name string, change func(line string) string) string {
		var b strings.Builder
		for _, r := range publish.For(domain(name)) {
			line := r.Line()
			if change != nil {
				line = change(line)
			}
			b.WriteString(line + "\n")
		}
		return b.String()
	}
	replace := func(was, now string) func(string) string {
		return func(line string) string { return strings.ReplaceAll(line, was, now) }
	}
	const signed = "algorithm: ecdsap256sha256"
	in := system.StartInternet(t, []system.SignedZone{
		{Name: ".", Policy: signed},
		{Name: "test.", Policy: signed},
		{Name: "right.test.", Policy: signed, Records: zoneOf("right.test", nil)},
		{Name: "plain.test.", Records: zoneOf("plain.test", nil)},
		{Name: "tlsa.test.", Policy: signed, Records: zoneOf("tlsa.test", func(line string) string {
			if strings.Contains(line, "TLSA") {
				return "_25._tcp.mx.tlsa.test. IN " + "TLSA " + publish.TLSA([]byte("another"))
			}
			return line
		})},
		{Name: "stale.test.", Policy: signed, Records: zoneOf("stale.test", replace("v=STSv1; id=", "v=STSv1; id=0"))},
		{Name: "expired.test.", Policy: signed, Records: zoneOf("expired.test", nil), SignedAt: time.Now().AddDate(-1, 0, 0)},
	})
	resolver, err := recursor.New(recursor.Options{Hints: in.Hints, Port: in.Port, Anchors: in.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		domain string
		wrong  map[string]string // by type and first label, a word of what is to be mended
	}{
		{"right.test", nil},
		{"plain.test", nil},
		{"tlsa.test", map[string]string{"TLSA _25": "none of the records fits"}},
		{"stale.test", map[string]string{"TXT _mta-sts": "the id is not that of the policy"}},
		{"expired.test", map[string]string{"MX expired": "signatures are wrong"}},
	} {
		d := domain(tt.domain)
		fetch := func(context.Context, string) (mtasts.Policy, error) { return d.Policy, nil }
		met := map[string]bool{}
		for _, f := range (publish.Checker{Source: resolver, Now: time.Now(), Policy: fetch}).Check(t.Context(), d) {
			label, _, _ := strings.Cut(f.Record.Name, ".")
			name := f.Record.Type + " " + label
			want, expected := tt.wrong[name]
			switch {
			case f.Record.Type == "PTR":
			case expected && f.Wrong():
				met[name] = true
				if !strings.Contains(f.Mend, want) {
					t.Errorf("%s: %s: %q", tt.domain, name, f.Mend)
				}
			case f.Wrong() && tt.domain != "expired.test":
				t.Errorf("%s: %s is %s: %q", tt.domain, name, f.State, f.Mend)
			case tt.domain == "right.test" && (f.State != publish.OK || f.Security != "secure" && f.Record.Type != "PTR" || f.Mend != ""):
				t.Errorf("%s: %s is %s and %s: %q", tt.domain, name, f.State, f.Security, f.Mend)
			}
		}
		if len(met) != len(tt.wrong) {
			t.Errorf("%s: found %v", tt.domain, met)
		}
	}
}
