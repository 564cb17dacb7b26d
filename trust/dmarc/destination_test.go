package dmarc

import (
	"errors"
	"fmt"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

func TestSize(t *testing.T) {
	for s, want := range map[string]int64{
		"": 0, "10": 10, "10k": 10 << 10, " 10M ": 10 << 20, "1g": 1 << 30, "2t": 2 << 40, "k": 0, "-1": 0, "1x": 0, "99999999999999999t": 0,
	} {
		if got := size(s); got != want {
			t.Errorf("%q: %d", s, got)
		}
	}
}

// RFC 9990 §4
func TestAgreed(t *testing.T) {
	zone := dnstest.Zone{
		TXT: map[string][]string{
			"_dmarc.example.com":                            {"v=DMARC1; p=reject"},
			"_dmarc.example.net":                            {"v=DMARC1; p=none"},
			"example.com._report._dmarc.plain.example":      {"hello", "v=DMARC1"},
			"example.com._report._dmarc.semicolon.example":  {"v=DMARC1;"},
			"example.com._report._dmarc.noise.example":      {"v=DMARC2", "x=y; v=DMARC1"},
			"example.com._report._dmarc.instead.example":    {"v=DMARC1; rua=mailto:other@instead.example!1k; ruf=mailto:ruf@instead.example"},
			"example.com._report._dmarc.third.example":      {"v=DMARC1; rua=mailto:victim@example.net"},
			"example.com._report._dmarc.xn--mnchen-3ya.org": {"v=DMARC1"},
		},
		Fail: map[string]bool{"example.com._report._dmarc.broken.example": true},
	}
	temporary := errors.New("some trouble of the DNS")
	for _, tt := range []struct {
		address string
		failure bool
		want    string
		err     error
	}{
		{"a@example.com", false, "[{a@example.com 0}]", nil},
		{"a@reports.example.com", false, "[{a@reports.example.com 0}]", nil}, // the same organization
		{"a@example.net", false, "[]", ErrUnwanted},
		{"a@plain.example", false, "[{a@plain.example 0}]", nil},
		{"a@semicolon.example", false, "[{a@semicolon.example 0}]", nil},
		{"a@noise.example", false, "[]", ErrUnwanted},
		{"a@instead.example", false, "[{other@instead.example 1024}]", nil},
		{"a@instead.example", true, "[{ruf@instead.example 0}]", nil},
		{"a@third.example", false, "[]", ErrUnwanted},
		{"a@third.example", true, "[{a@third.example 0}]", nil}, // it names nobody for those
		{"a@münchen.org", false, "[{a@münchen.org 0}]", nil},
		{"a@broken.example", false, "[]", temporary},
		{"a@nowhere.example", false, "[]", ErrUnwanted},
	} {
		got, err := Agreed(t.Context(), zone, "Example.com", Destination{Address: tt.address}, tt.failure)
		if fmt.Sprint(got) != tt.want && err == nil {
			t.Errorf("%s: %v, want %s", tt.address, got, tt.want)
		}
		switch {
		case tt.err == temporary && (err == nil || errors.Is(err, ErrUnwanted)),
			tt.err != temporary && !errors.Is(err, tt.err), tt.err == nil && err != nil:
			t.Errorf("%s: %v, want %v", tt.address, err, tt.err)
		}
	}
}

func FuzzAgreed(f *testing.F) {
	f.Add("a@x.example", "v=DMARC1; rua=mailto:b@x.example!10m")
	f.Fuzz(func(t *testing.T, address, record string) {
		for _, d := range destinations("mailto:" + address) {
			var r dns.Resolver = dnstest.Zone{TXT: map[string][]string{"example.com._report._dmarc." + d.Domain(): {record}}}
			got, err := Agreed(t.Context(), r, "example.com", d, false)
			for _, other := range got {
				if err == nil && other.Domain() != d.Domain() {
					t.Errorf("%+v in place of %+v", other, d)
				}
			}
		}
	})
}
