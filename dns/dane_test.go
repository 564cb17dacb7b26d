package dns_test

import (
	"errors"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

// RFC 7672 §2.2.2: whose TLSA records count, with aliases, and what keeps a
// host from being used.
func TestLookupDANE(t *testing.T) {
	record := func(b byte) []dns.TLSA { return []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: []byte{b}}} }
	zone := dnstest.Zone{
		Authentic: true,
		A: map[string][]string{
			"mx.signed.test": {"192.0.2.1"}, "mx.plain.test": {"192.0.2.2"}, "mx.bare.test": {"192.0.2.3"}, "mx.held.test": {"192.0.2.4"},
		},
		Alias: map[string]string{
			"alias.test": "mx.signed.test", "away.test": "mx.plain.test", "own.test": "mx.bare.test",
		},
		TLSA: map[string][]dns.TLSA{
			"_25._tcp.mx.signed.test": record(1), "_25._tcp.alias.test": record(2), "_25._tcp.away.test": record(3),
			"_25._tcp.mx.plain.test": record(4), "_25._tcp.own.test": record(5),
		},
		Inauthentic: map[string]bool{"mx.plain.test": true, "_25._tcp.mx.plain.test": true},
		Bogus:       map[string]bool{"_25._tcp.mx.held.test": true},
	}
	for _, tt := range []struct {
		host, base string
		data       byte
	}{
		{"mx.signed.test", "mx.signed.test", 1},
		{"Alias.test.", "mx.signed.test", 1}, // the end of a secure chain comes first
		{"away.test", "away.test", 3},        // only the alias itself is secure
		{"own.test", "own.test", 5},          // nothing at the end, but at the host's own name
		{"mx.plain.test", "", 0},             // never asked for
		{"mx.bare.test", "", 0},
	} {
		d, err := dns.LookupDANE(t.Context(), zone, tt.host, 25)
		if err != nil || d.Base != tt.base || len(d.Addrs) != 1 {
			t.Errorf("%s: %+v, %v", tt.host, d, err)
		}
		if tt.data != 0 && (len(d.TLSA) != 1 || d.TLSA[0].Data[0] != tt.data) || tt.data == 0 && len(d.TLSA) != 0 {
			t.Errorf("%s: TLSA %v", tt.host, d.TLSA)
		}
	}
	if _, err := dns.LookupDANE(t.Context(), zone, "mx.held.test", 25); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("bogus TLSA records: %v", err)
	}
	if _, err := dns.LookupDANE(t.Context(), zone, "nowhere.test", 25); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("no host: %v", err)
	}
}

func TestWeaker(t *testing.T) {
	for _, tt := range []struct{ a, b, want dns.Security }{
		{dns.Secure, dns.Secure, dns.Secure},
		{dns.Secure, dns.Insecure, dns.Insecure},
		{dns.Insecure, dns.Indeterminate, dns.Indeterminate},
		{dns.Bogus, dns.Indeterminate, dns.Bogus},
		{dns.Secure, dns.Bogus, dns.Bogus},
	} {
		if a, b := tt.a.Weaker(tt.b), tt.b.Weaker(tt.a); a != tt.want || b != tt.want {
			t.Errorf("%v and %v: %v, %v, want %v", tt.a, tt.b, a, b, tt.want)
		}
	}
}
