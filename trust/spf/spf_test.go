package spf

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

func TestTerm(t *testing.T) {
	z := dnstest.Zone{TXT: map[string][]string{
		"a.example":     {"v=spf1 include:b.example redirect=d.example", "something else"},
		"b.example":     {"v=spf1 ip4:192.0.2.0/24 -all"},
		"d.example":     {"v=spf1 ip6:2001:db8::/32 exists:%{l}.d.example -all exp=why.d.example"},
		"why.d.example": {"%{i} is not\r\nours"},
	}, Authentic: true}
	for _, tt := range []struct {
		ip, sender string
		result     Result
		term       string
	}{
		{"192.0.2.7", "ann@a.example", Pass, "include:b.example ip4:192.0.2.0/24"},
		{"::ffff:192.0.2.7", "ann@a.example", Pass, "include:b.example ip4:192.0.2.0/24"},
		{"2001:db8::7", "ann@A.example.", Pass, "redirect=d.example ip6:2001:db8::/32"},
		{"192.0.3.7", "ann@a.example", Fail, "redirect=d.example -all"},
		// RFC 8616 §4: the mechanism with the local part does not match.
		{"192.0.3.7", "änn@d.example", Fail, "-all"},
	} {
		q := Query{IP: netip.MustParseAddr(tt.ip), Helo: "mx.example", Sender: tt.sender, Now: time.Unix(0, 0)}
		v := Check(t.Context(), z, q)
		if v.Result != tt.result || v.Term != tt.term || !v.Authentic || v.Explanation != "" {
			t.Errorf("%+v: %+v", tt, v)
		}
	}
}

// half has one family of addresses that nobody answers for.
type half struct {
	dnstest.Zone
	silent dns.Family
}

func (h half) LookupFamily(ctx context.Context, name string, f dns.Family) ([]netip.Addr, dns.Result, error) {
	if f == h.silent {
		return nil, dns.Result{}, &dns.Error{Name: name, Type: "A", Detail: "made to fail", Err: dns.ErrTemporary}
	}
	return h.Zone.LookupFamily(ctx, name, f)
}

// Trouble with the addresses of the other family is no trouble; with those of
// the host's own it must not look as if there were none. RFC 7208 §5
func TestOtherFamily(t *testing.T) {
	z := dnstest.Zone{
		TXT: map[string][]string{"a.example": {"v=spf1 exists:%{l}.list.example a:mx.a.example -all"}},
		A:   map[string][]string{"mx.a.example": {"192.0.2.1", "2001:db8::1"}},
	}
	for _, tt := range []struct {
		ip     string
		silent dns.Family
		result Result
	}{
		{"192.0.2.1", dns.IPv6, Pass},
		{"192.0.2.1", dns.IPv4, TempError},
		{"2001:db8::1", dns.IPv6, TempError},
		{"2001:db8::2", dns.IPv6, TempError},
		{"2001:db8::1", dns.IPv4, TempError}, // exists asks for A always
	} {
		q := Query{IP: netip.MustParseAddr(tt.ip), Helo: "mx.example", Sender: "ann@a.example"}
		if v := Check(t.Context(), half{z, tt.silent}, q); v.Result != tt.result {
			t.Errorf("%s, no answers of family %d: %+v, want %s", tt.ip, tt.silent, v, tt.result)
		}
	}
}

func TestReceived(t *testing.T) {
	q := Query{IP: netip.MustParseAddr("192.0.2.1"), Helo: "mx\r\nX: y", Sender: `"a b"@a.example`, Receiver: "mx.example.org"}
	got := Received(Verdict{Result: Pass, Domain: "a.example", Term: "a:%{d} -all"}, q)
	want := "Received-SPF: pass (a.example designates 192.0.2.1 as permitted sender)\r\n" +
		"\tclient-ip=192.0.2.1;\r\n" +
		"\tenvelope-from=\"\\\"a b\\\"@a.example\";\r\n" +
		"\thelo=\"mx??X: y\";\r\n" +
		"\treceiver=mx.example.org;\r\n" +
		"\tidentity=mailfrom; mechanism=\"a:%{d} -all\""
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestReceiver(t *testing.T) {
	for value, want := range map[string]string{
		" pass (mx.example.org: ok) client-ip=192.0.2.1;\r\n\treceiver=mx.example.org;\r\n identity=helo": "mx.example.org",
		"fail Receiver = \"MX.example.org.\"": "MX.example.org",
		"none\r\n receiver=mx.example.org":    "mx.example.org",
		"pass (receiver=a.example)":           "",
		"pass":                                "",
		"":                                    "",
	} {
		if got := Receiver(value); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
	q := Query{IP: netip.MustParseAddr("192.0.2.1"), Helo: "a;receiver=x", Sender: "ann@a.example", Receiver: "mx.example.org"}
	_, value, _ := strings.Cut(Received(Verdict{Result: Pass, Domain: "a.example"}, q), ":")
	if got := Receiver(value); got != "mx.example.org" {
		t.Errorf("our own: %q", got)
	}
}

// A record is read without trouble whatever it says, and one that could be read
// is evaluated within the limits.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 a mx ptr include:a.example ip4:192.0.2.0/24 ~all", "%{s} %{ir} %{p}")
	f.Add("v=spf1 exists:%{l1r+-}.%{o}.%{h} redirect=%{d2}.example exp=x.example", "%{C}%{t}%{R}%%%_%-")
	f.Add("v=spf1 a:a.example//64 mx/24//64 ip6:::1/0 unknown=%{d}", "")
	f.Fuzz(func(t *testing.T, txt, exp string) {
		z := dnstest.Zone{
			TXT: map[string][]string{"a.example": {txt}, "x.example": {exp}},
			A:   map[string][]string{"a.example": {"192.0.2.1", "2001:db8::1"}},
			PTR: map[string][]string{"192.0.2.9": {"a.example"}},
		}
		for _, ip := range []string{"192.0.2.9", "2001:db8::1"} {
			q := Query{IP: netip.MustParseAddr(ip), Helo: "a.example", Sender: "ann@a.example"}
			v := Check(t.Context(), z, q)
			if v.Result == "" {
				t.Errorf("no result for %q", txt)
			}
			if strings.ContainsAny(v.Explanation, "\r\n") || strings.Contains(Received(v, q), "\n\n") {
				t.Errorf("a line is broken: %+v", v)
			}
		}
	})
}
