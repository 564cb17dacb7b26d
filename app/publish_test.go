package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/app/certs"
	"waxwing/app/config"
	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/store/directory"
	"waxwing/store/tlskeys"
	"waxwing/test/engine"
	"waxwing/trust/mtasts"
	"waxwing/trust/records"
)

// Names get certificates once they lead here, and lose them when it is sure that
// they do not any more.
func TestNames(t *testing.T) {
	db := engine.New(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := directory.New(db)
	for _, name := range []string{"a.test", "b.test", "off.test"} {
		if _, err := dir.AddDomain(t.Context(), time.Now(), directory.Domain{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	acme, err := certs.NewACME(certs.ACMEOptions{Names: []string{"mx.test"}, HTTP: certs.Endpoint{Port: 80}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	zone := dnstest.Zone{Fail: map[string]bool{}, A: map[string][]string{
		"mx.test": {"192.0.2.1", "2001:db8::1"}, "mta-sts.a.test": {"2001:db8::1"}, "autoconfig.a.test": {"192.0.2.9"},
		"mta-sts.off.test": {"192.0.2.1"}, "autoconfig.off.test": {"192.0.2.1"},
	}}
	n := &names{
		app: &App{certs: certificates{fetched: acme}, stores: stores{directory: dir}}, resolver: zone, host: "mx.test",
		policy: func(domain string) mtasts.Policy {
			if domain == "off.test" {
				return mtasts.Policy{}
			}
			return mtasts.Policy{Mode: mtasts.Testing}
		},
	}
	check := func(when string, want ...string) {
		t.Helper()
		if err := n.turn(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(n.held, want) {
			t.Errorf("%s: %q", when, n.held)
		}
	}
	check("at first", "mta-sts.a.test", "autoconfig.off.test")
	zone.A["autoconfig.b.test"] = []string{"192.0.2.1"}
	zone.Fail["mta-sts.a.test"] = true
	check("one more, and one that cannot be looked up", "mta-sts.a.test", "autoconfig.b.test", "autoconfig.off.test")
	delete(zone.Fail, "mta-sts.a.test")
	zone.A["mta-sts.a.test"] = []string{"192.0.2.9"}
	delete(zone.A, "autoconfig.off.test")
	check("one leads away, and one is gone", "autoconfig.b.test")
}

// fixed answers with TLSA records.
type fixed struct {
	resolver
	answer dns.Answer
	err    error
}

func (f fixed) Resolve(_ context.Context, name string, _ uint16) (*dns.Answer, error) {
	if name != "_25._tcp.mx.test." {
		return nil, errors.New(name)
	}
	return &f.answer, f.err
}

// What the DNS has decides whether a key has to be published.
func TestSight(t *testing.T) {
	db := engine.New(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	store := tlskeys.New(db)
	if err := store.Begin(t.Context(), time.Now(), "mx.test", nil); err != nil {
		t.Fatal(err)
	}
	all, err := store.Keys(t.Context(), "mx.test")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	key := all[0]
	tlsa := func(data string) wire.RR {
		rr, err := wire.NewRR("_25._tcp.mx.test. 7200 IN TLSA " + data)
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	other, ours := tlsa("3 1 1 00ff"), tlsa(strings.ToUpper(records.TLSA(key.SPKI())))
	for _, tt := range []struct {
		what     string
		records  []wire.RR
		security dns.Security
		want     tlskeys.Sight
		fails    bool
	}{
		{"no records", nil, dns.Secure, tlskeys.Sight{None: true}, false},
		{"another", []wire.RR{other}, dns.Secure, tlskeys.Sight{TTL: 2 * time.Hour}, false},
		{"both", []wire.RR{other, ours}, dns.Secure, tlskeys.Sight{There: true, TTL: 2 * time.Hour}, false},
		{"not signed", []wire.RR{other}, dns.Insecure, tlskeys.Sight{None: true, TTL: 2 * time.Hour}, false},
		{"nobody knows", []wire.RR{other}, dns.Indeterminate, tlskeys.Sight{TTL: 2 * time.Hour}, false},
		{"bogus", nil, dns.Bogus, tlskeys.Sight{}, true},
	} {
		k := &serverKeys{host: "mx.test", resolver: fixed{answer: dns.Answer{Records: tt.records, Finding: dns.Finding{Security: tt.security}}}}
		sight, err := k.look(t.Context(), key)
		if (err != nil) != tt.fails || sight != tt.want {
			t.Errorf("%s: %+v, %v", tt.what, sight, err)
		}
	}
}

// The policy follows the configuration, domain by domain.
func TestPolicies(t *testing.T) {
	c := config.Default()
	c.Hostname, c.MTASTS.MX = "MX.test", []string{"*.backup.test"}
	c.MTASTS.Domains = []config.MTASTSDomain{{Domain: "strict.test", Mode: config.MTASTSEnforce}, {Domain: "off.test", Mode: config.MTASTSOff}}
	for domain, want := range map[string]mtasts.Mode{"any.test": mtasts.Testing, "Strict.test": mtasts.Enforce, "off.test": ""} {
		a := &App{config: c}
		if got := a.policiesOf()(domain); got.Mode != "" {
			t.Errorf("%s: nothing is served, yet there is %+v", domain, got)
		}
		p := policyOf(c, domain)
		if p.Mode != want || want != "" && (p.MX[0] != "mx.test" || p.MX[1] != "*.backup.test" || p.MaxAge != 14*24*time.Hour) {
			t.Errorf("%s: %+v", domain, p)
		}
	}
	c.TLS.Source = config.SourceOwnCA
	if p := policyOf(c, "any.test"); p.Mode != "" {
		t.Errorf("certificates that nobody knows: %+v", p)
	}
}
