package records_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/trust/mtasts"
	"waxwing/trust/records"
)

// certificate makes one for the name, and its public key.
func certificate(t *testing.T, name string) (chain []*x509.Certificate, spki []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{c}, c.RawSubjectPublicKeyInfo
}

// tlsZone is a zone in which everything about TLS is right.
func tlsZone(now []byte, next []byte) dnstest.Zone {
	z := good()
	z.A["mta-sts.example.test"] = []string{"192.0.2.7"}
	z.A["autoconfig.example.test"] = []string{"192.0.2.7"}
	z.TXT["_mta-sts.example.test"] = []string{"v=STSv1; id=" + records.PolicyID(policy) + ";"}
	z.TLSA = map[string][]dns.TLSA{"_25._tcp.mx.example.test": {tlsa(now), tlsa(next)}}
	z.Authentic = true
	return z
}

func tlsa(spki []byte) dns.TLSA {
	sum := sha256.Sum256(spki)
	return dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: sum[:]}
}

// A signedSource says of all answers that they are proven.
type signedSource struct{ dns.Source }

func (s signedSource) Resolve(ctx context.Context, name string, qtype uint16) (*dns.Answer, error) {
	answer, err := s.Source.Resolve(ctx, name, qtype)
	if err == nil {
		answer.Finding.Security = dns.Secure
	}
	return answer, err
}

// Each breakage of what is about TLS is found, and said with what to do.
func TestTLS(t *testing.T) {
	chain, inUse := certificate(t, "mx.example.test")
	_, next := certificate(t, "mx.example.test")
	_, other := certificate(t, "other.example.test")
	whole := sha256.Sum256(chain[0].Raw)
	const (
		tlsaName, txtName, aliasName = "TLSA _25._tcp.mx.example.test.", "TXT _mta-sts.example.test.", "CNAME mta-sts.example.test."
	)
	nextName := tlsaName + " next"
	for _, tt := range []struct {
		what, name string
		state      records.State
		mend       string
		wrong      bool
		change     func(z dnstest.Zone, d *records.Domain)
	}{
		{"all is right", tlsaName, records.OK, "", false, nil},
		{"all is right", nextName, records.OK, "", false, nil},
		{"all is right", txtName, records.OK, "", false, nil},
		{"all is right", aliasName, records.OK, "", false, nil},
		{"no TLSA", tlsaName, records.Missing, "if the zone is signed", false, func(z dnstest.Zone, _ *records.Domain) { clear(z.TLSA) }},
		{"the next key is not there", nextName, records.Missing, "not used before", false, func(z dnstest.Zone, _ *records.Domain) {
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{tlsa(inUse)}
		}},
		{"one too many", tlsaName, records.OK, "may be removed: " + records.TLSA(other), false, func(z dnstest.Zone, _ *records.Domain) {
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{tlsa(inUse), tlsa(next), tlsa(other)}
		}},
		{"a certificate from files", tlsaName, records.OK, "renew it with the same key", false, func(z dnstest.Zone, d *records.Domain) {
			d.TLSKeys = []records.TLSKey{{SPKI: inUse, Foreign: true}}
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{tlsa(inUse)}
		}},
		{"a certificate from files, and the next", tlsaName, records.OK, "not of the next certificate's key: " + records.TLSA(next) + "; the cert", false, func(_ dnstest.Zone, d *records.Domain) {
			d.TLSKeys = []records.TLSKey{{SPKI: inUse, Foreign: true}}
		}},
		{"TLSA that fits nothing", tlsaName, records.Different, "does not deliver", true, func(z dnstest.Zone, _ *records.Domain) {
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{tlsa(other)}
		}},
		{"TLSA that nobody can use", tlsaName, records.Different, "which nobody can use", false, func(z dnstest.Zone, _ *records.Domain) {
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{{Usage: 1, Selector: 1, Matching: 1, Data: whole[:]}}
		}},
		{"TLSA of the certificate", tlsaName, records.OK, "another record proves", false, func(z dnstest.Zone, _ *records.Domain) {
			z.TLSA["_25._tcp.mx.example.test"] = []dns.TLSA{{Usage: 3, Selector: 0, Matching: 1, Data: whole[:]}}
		}},
		{"a stale id", txtName, records.Different, "write id=" + records.PolicyID(policy), true, func(z dnstest.Zone, _ *records.Domain) {
			z.TXT["_mta-sts.example.test"] = []string{"v=STSv1; id=20250101"}
		}},
		{"no id", txtName, records.Different, "nobody can read", false, func(z dnstest.Zone, _ *records.Domain) {
			z.TXT["_mta-sts.example.test"] = []string{"v=STSv1; x=y"}
		}},
		{"two policies", txtName, records.Different, "leave one", true, func(z dnstest.Zone, _ *records.Domain) {
			z.TXT["_mta-sts.example.test"] = append(z.TXT["_mta-sts.example.test"], "v=STSv1; id=1")
		}},
		{"no policy record", txtName, records.Missing, "https://mta-sts.example.test/", false, func(z dnstest.Zone, _ *records.Domain) { delete(z.TXT, "_mta-sts.example.test") }},
		{"an MX that the policy does not name", txtName, records.OK, "does not name the server b.example.test", false, func(z dnstest.Zone, _ *records.Domain) {
			z.MX["example.test"] = append(z.MX["example.test"], dns.MX{Host: "b.example.test"})
		}},
		{"the same when it is enforced", txtName, records.Different, "does not name the server b.example.test", true, func(z dnstest.Zone, d *records.Domain) {
			z.MX["example.test"] = append(z.MX["example.test"], dns.MX{Host: "b.example.test"})
			d.Policy.Mode = mtasts.Enforce
			z.TXT["_mta-sts.example.test"] = []string{"v=STSv1; id=" + records.PolicyID(d.Policy)}
		}},
		{"the same when there is none any more", txtName, records.OK, "", false, func(z dnstest.Zone, d *records.Domain) {
			z.MX["example.test"] = append(z.MX["example.test"], dns.MX{Host: "b.example.test"})
			d.Policy.Mode = mtasts.None
			z.TXT["_mta-sts.example.test"] = []string{"v=STSv1; id=" + records.PolicyID(d.Policy)}
		}},
		{"a certificate of another name", txtName, records.OK, "certificate does not name the server", false, func(_ dnstest.Zone, d *records.Domain) {
			d.Chain, _ = certificate(t, "other.example.test")
		}},
		{"the policy cannot be fetched", txtName, records.OK, "others cannot fetch the policy: out of order", false, func(_ dnstest.Zone, d *records.Domain) { d.DMARCTo = "broken" }},
		{"another policy is fetched", txtName, records.OK, "is another policy", false, func(_ dnstest.Zone, d *records.Domain) { d.DMARCTo = "other" }},
		{"no alias", aliasName, records.Missing, "publish it", false, func(z dnstest.Zone, _ *records.Domain) { delete(z.A, "mta-sts.example.test") }},
		{"an alias that leads away", aliasName, records.Different, "does not lead to this server", false, func(z dnstest.Zone, _ *records.Domain) {
			z.A["mta-sts.example.test"] = []string{"192.0.2.99"}
		}},
		{"a broken request for reports", "TXT _smtp._tls.example.test.", records.Different, "not well-formed", false, func(z dnstest.Zone, _ *records.Domain) {
			z.TXT["_smtp._tls.example.test"] = []string{"v=TLSRPTv1; rua=postmaster@example.test"}
		}},
	} {
		z := tlsZone(inUse, next)
		d := records.Domain{
			Name: "example.test", Host: "mx.example.test", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
			Keys: []records.Key{{Selector: "s1", Record: key, State: "the key that signs"}}, Chain: chain, Policy: policy, Autoconfig: true,
			TLSKeys: []records.TLSKey{{SPKI: inUse, State: "the key in use"}, {SPKI: next, State: "the next key", Use: records.Next}},
		}
		if tt.change != nil {
			tt.change(z, &d)
		}
		stub, err := dns.NewStub(dns.StubOptions{Servers: []string{dnstest.Serve(t, z)}})
		if err != nil {
			t.Fatal(err)
		}
		fetch := func(context.Context, string) (mtasts.Policy, error) {
			switch d.DMARCTo {
			case "broken":
				return mtasts.Policy{}, errors.New("out of order")
			case "other":
				return mtasts.Policy{Mode: mtasts.None}, nil
			}
			return d.Policy, nil
		}
		found := map[string]records.Finding{}
		for _, f := range (records.Checker{Source: signedSource{stub}, Now: time.Now(), Policy: fetch}).Check(t.Context(), d) {
			name := f.Record.Type + " " + f.Record.Name
			if f.Record.Data == records.TLSA(next) {
				name += " next"
			}
			found[name] = f
		}
		f, ok := found[tt.name]
		if !ok || f.State != tt.state || !strings.Contains(f.Mend, tt.mend) || tt.mend == "" && f.Mend != "" || f.Wrong() != tt.wrong {
			t.Errorf("%s: %s, wrong %v, %q, found %q", tt.what, f.State, f.Wrong(), f.Mend, f.Found)
		}
	}
	if text := hex.EncodeToString(tlsa(inUse).Data); records.TLSA(inUse) != "3 1 1 "+text {
		t.Error(text)
	}
}
