package relay

import (
	"errors"
	"strings"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/proto/smtp"
)

func TestExchangers(t *testing.T) {
	zone := dnstest.Zone{
		MX: map[string][]dns.MX{
			"two.test":        {{Host: "b.two.test", Preference: 20}, {Host: "a.two.test", Preference: 10}},
			"null.test":       {{Host: "."}},
			"backup.test":     {{Host: "best.test", Preference: 5}, {Host: "us.test", Preference: 10}, {Host: "worse.test", Preference: 20}},
			"equal.test":      {{Host: "best.test", Preference: 5}, {Host: "equal.test", Preference: 10}, {Host: "us.test", Preference: 10}},
			"loop.test":       {{Host: "US.test", Preference: 10}},
			"xn--bcher-kva.x": {{Host: "mx.x", Preference: 1}},
		},
		A:    map[string][]string{"implicit.test": {"192.0.2.1"}},
		Fail: map[string]bool{"broken.test": true},
	}
	tests := []struct {
		domain string
		hosts  string
		code   int
		why    string
	}{
		{"two.test", "a.two.test b.two.test", 0, "in the order of preference"},
		{"implicit.test", "implicit.test", 0, "RFC 5321 §5.1: no MX, but an address"},
		{"null.test", "", 556, "RFC 7505: takes no mail"},
		{"nowhere.test", "", 550, "no such name"},
		{"broken.test", "", 451, "a failure that may pass"},
		{"backup.test", "best.test", 0, "RFC 5321 §5.1: not to ourselves, nor behind us"},
		{"equal.test", "best.test", 0, "RFC 5321 §5.1: nor to those who are as good as we are"},
		{"loop.test", "", 554, "we are the best, but not the end"},
		{"[192.0.2.7]", "[192.0.2.7]", 0, "an address literal is its own host"},
		{"bücher.x", "mx.x", 0, "looked up by its A-label"},
	}
	for _, tt := range tests {
		hosts, _, err := exchangers(t.Context(), zone, tt.domain, "us.test")
		var refusal *smtp.Refusal
		errors.As(err, &refusal)
		switch {
		case tt.code == 0 && (err != nil || strings.Join(hosts, " ") != tt.hosts):
			t.Errorf("%s: %v, %v; want %s (%s)", tt.domain, hosts, err, tt.hosts, tt.why)
		case tt.code != 0 && (refusal == nil || refusal.Code != tt.code):
			t.Errorf("%s: %v, %v; want %d (%s)", tt.domain, hosts, err, tt.code, tt.why)
		}
	}
}
