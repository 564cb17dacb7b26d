package dmarc

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

func TestRecord(t *testing.T) {
	for txt, want := range map[string]*Record{
		"v=DMARC1; p=reject": {Policy: Reject},
		"v=DMARC1 ; P = Quarantine ; sp=none; np=reject; adkim=s; aspf=S; t=y; psd=n; pct=5; fo=1:d:x:s;": {
			Policy: Quarantine, Subdomains: None, Nonexistent: Reject, StrictDKIM: true, StrictSPF: true,
			Testing: true, PSD: 'n', Options: []string{"1", "d", "s"},
		},
		"v=DMARC1;rua=mailto:a@example.org!10m, https://x.example/, mailto:b%40c@d.example;ruf=mailto:x": {
			Policy: None, Aggregate: []Destination{{"a@example.org", 10 << 20}, {"b@c@d.example", 0}},
		},
		"v=DMARC1; p=bogus; rua=mailto:a@example.org": {Policy: None, Aggregate: []Destination{{Address: "a@example.org"}}},
		"v=DMARC1; p=reject; sp=bogus":                nil,
		"v=DMARC1; p=bogus; rua=mailto:":              nil,
		"v=DMARC1":                                    nil,
		"v=dmarc1; p=reject":                          nil,
		"p=reject; v=DMARC1":                          nil,
		"v=DMARC12; p=reject":                         nil,
		"":                                            nil,
	} {
		r, ok := ParseRecord(txt)
		if want == nil {
			if ok {
				t.Errorf("%q is taken for a record: %+v", txt, r)
			}
			continue
		}
		if want.PSD == 0 {
			want.PSD = 'u'
		}
		if want.Options == nil {
			want.Options = []string{"0"}
		}
		if !ok || !reflect.DeepEqual(r, *want) {
			t.Errorf("%q: %+v, %v; want %+v", txt, r, ok, want)
		}
	}
}

// A counter counts what is asked.
type counter struct {
	dns.Resolver
	asked []string
}

func (c *counter) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	c.asked = append(c.asked, name)
	return c.Resolver.LookupTXT(ctx, name)
}

func (c *counter) LookupAddr(ctx context.Context, name string) ([]netip.Addr, dns.Result, error) {
	c.asked = append(c.asked, name)
	return c.Resolver.LookupAddr(ctx, name)
}

// RFC 9989 §4.10
func TestWalk(t *testing.T) {
	c := &counter{Resolver: dnstest.Zone{}}
	v := Check(t.Context(), c, "a.b.c.d.e.f.g.h.i.j.mail.example.com", Evidence{})
	want := "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com _dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com " +
		"_dmarc.g.h.i.j.mail.example.com _dmarc.h.i.j.mail.example.com _dmarc.i.j.mail.example.com " +
		"_dmarc.j.mail.example.com _dmarc.mail.example.com _dmarc.example.com _dmarc.com"
	if got := strings.Join(c.asked, " "); v.Result != NoRecord || got != want {
		t.Errorf("%+v: %s", v, got)
	}
}

func world() dnstest.Zone {
	return dnstest.Zone{
		TXT: map[string][]string{
			"_dmarc.example.com":         {"v=DMARC1; p=reject; sp=quarantine; np=reject"},
			"_dmarc.own.example.com":     {"v=DMARC1; p=none; psd=n"},
			"_dmarc.strict.example.com":  {"v=DMARC1; p=reject; aspf=s; adkim=s"},
			"_dmarc.test.example.com":    {"v=DMARC1; p=reject; t=y"},
			"_dmarc.suffix":              {"v=DMARC1; p=reject; sp=quarantine; psd=y"},
			"_dmarc.twice.example":       {"v=DMARC1; p=reject", "v=DMARC1; p=none"},
			"_dmarc.noise.example":       {"hello", "v=DMARC1; p=quarantine"},
			"_dmarc.a.organised.suffix":  {"v=DMARC1; p=none"},
			"_dmarc.trouble.example.net": {"v=DMARC1; p=reject"},
		},
		A: map[string][]string{"mail.example.com": {"192.0.2.1"}, "shop.suffix": {"192.0.2.1"}},
		Fail: map[string]bool{
			"_dmarc.broken.example":       true,
			"_dmarc.sub.broken2.net":      true,
			"_dmarc.else.example.net":     true,
			"_dmarc.forger.com":           true,
			"_dmarc.trouble2.example.com": true,
		},
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		author string
		e      Evidence
		result Result
		domain string
		wanted Policy
	}{
		{"example.com", Evidence{SPF: "example.com"}, Pass, "example.com", Reject},
		{"Example.COM.", Evidence{DKIM: []string{"EXAMPLE.com"}}, Pass, "example.com", Reject},
		{"example.com", Evidence{SPF: "bounce.example.com"}, Pass, "example.com", Reject},
		{"example.com", Evidence{DKIM: []string{"example.org", "x.example.com"}}, Pass, "example.com", Reject},
		{"example.com", Evidence{SPF: "example.org", DKIM: []string{"badexample.com", "com"}}, Fail, "example.com", Reject},
		{"mail.example.com", Evidence{}, Fail, "example.com", Quarantine},
		{"mail.example.com", Evidence{DKIM: []string{"other.example.com"}}, Pass, "example.com", Quarantine},
		{"nowhere.example.com", Evidence{}, Fail, "example.com", Reject},
		// An organization of its own.
		{"own.example.com", Evidence{SPF: "example.com"}, Fail, "own.example.com", None},
		{"x.own.example.com", Evidence{SPF: "own.example.com"}, Pass, "own.example.com", None},
		{"strict.example.com", Evidence{SPF: "x.strict.example.com", DKIM: []string{"example.com"}}, Fail, "strict.example.com", Reject},
		{"strict.example.com", Evidence{SPF: "strict.example.com"}, Pass, "strict.example.com", Reject},
		{"test.example.com", Evidence{}, Fail, "test.example.com", Quarantine},
		// Below a public suffix.
		{"shop.suffix", Evidence{SPF: "mail.shop.suffix"}, Pass, "suffix", Quarantine},
		{"shop.suffix", Evidence{SPF: "other.suffix"}, Fail, "suffix", Quarantine},
		{"suffix", Evidence{SPF: "shop.suffix"}, Fail, "suffix", Reject},
		{"a.organised.suffix", Evidence{SPF: "b.organised.suffix"}, Pass, "a.organised.suffix", None},
		{"twice.example", Evidence{}, NoRecord, "", ""},
		{"noise.example", Evidence{}, Fail, "noise.example", Quarantine},
		{"broken.example", Evidence{}, TempError, "", ""},
		// What cannot be found out proves nothing, and nothing else either.
		{"trouble.example.net", Evidence{SPF: "x.trouble.example.net"}, Pass, "trouble.example.net", Reject},
		{"x.example.com", Evidence{MaybeDKIM: []string{"y.example.com"}}, TempError, "example.com", Reject},
		{"x.example.com", Evidence{MaybeSPF: "y.example.com", SPF: "example.com"}, Pass, "example.com", Reject},
		{"strict.example.com", Evidence{MaybeSPF: "example.com", MaybeDKIM: []string{"example.com"}}, Fail, "strict.example.com", Reject},
		// A stranger who does not answer is no reason to believe that he might have
		// been the author.
		{"example.com", Evidence{SPF: "forger.com", DKIM: []string{"forger.com"}, MaybeSPF: "forger.com", MaybeDKIM: []string{"forger.com"}}, Fail, "example.com", Reject},
		{"trouble.example.net", Evidence{SPF: "else.example.net"}, Fail, "trouble.example.net", Reject},
		{"x.broken2.example.com", Evidence{SPF: "trouble2.example.com"}, TempError, "example.com", Reject},
		{"trouble.example.net", Evidence{SPF: "else.example.net", DKIM: []string{"trouble.example.net"}}, Pass, "trouble.example.net", Reject},
		{"", Evidence{}, PermError, "", ""},
		{"org", Evidence{}, NoRecord, "", ""},
	} {
		v := Check(t.Context(), world(), tt.author, tt.e)
		if v.Result != tt.result || v.Domain != tt.domain || v.Wanted != tt.wanted {
			t.Errorf("%s %+v: %+v", tt.author, tt.e, v)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@example.org!10m,mailto:b@c; fo=1:d; psd=y")
	f.Fuzz(func(t *testing.T, txt string) {
		r, ok := ParseRecord(txt)
		if ok && !known(r.Policy) {
			t.Errorf("%+v", r)
		}
		for _, a := range append(r.Aggregate, r.Failure...) {
			if strings.ContainsAny(a.Address, "\r\n") || !strings.Contains(a.Address, "@") || a.Limit < 0 {
				t.Errorf("%+v", a)
			}
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add("a.example.com", "example.com", "v=DMARC1; p=reject; psd=y")
	f.Fuzz(func(t *testing.T, author, domain, record string) {
		z := dnstest.Zone{TXT: map[string][]string{"_dmarc.example.com": {record}, "_dmarc.com": {record}}}
		c := &counter{Resolver: z}
		Check(t.Context(), c, author, Evidence{SPF: domain, DKIM: []string{domain}})
		if len(c.asked) > 3*8+1 {
			t.Errorf("%d questions", len(c.asked))
		}
	})
}
