package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"waxwing/dns"
	"waxwing/trust/mtasts"
	"waxwing/trust/tlsrpt"
)

// usable is a TLSA record that can be used, and odd one that cannot.
var (
	usable = dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}
	odd    = dns.TLSA{Usage: 1, Selector: 1, Matching: 1, Data: make([]byte, 32)}
)

func sts(mode mtasts.Mode, mx ...string) mtasts.Finding {
	return mtasts.Finding{Policy: mtasts.Policy{Mode: mode, MX: mx}, ID: "1"}
}

func tlsaOf(base string, records ...dns.TLSA) dns.DANE { return dns.DANE{TLSA: records, Base: base} }

// summary writes a demand in few words: what must be, by what proof, and why not.
func summary(d demand) string {
	words := []string{[]string{"clear", "opportunistic", "encrypted", "authenticated"}[d.must]}
	switch d.proof {
	case byTLSA:
		words = append(words, "tlsa", strings.Join(d.names, ","))
	case byAuthority:
		words = append(words, "authority", strings.Join(d.names, ","))
	case byPrint:
		words = append(words, "print")
	}
	if d.trial {
		words = append(words, "trial")
	}
	if d.refuse != nil {
		words = append(words, "refused", fmt.Sprintf("%d", d.refuse.Code), d.refuse.Enhanced.String(), string(d.refuse.result))
	}
	for _, b := range d.beside {
		words = append(words, "beside", string(b.policy.Type), string(b.result))
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

func TestTravel(t *testing.T) {
	const host, domain = "mx.example.org", "example.org"
	bogus := &dns.Error{Name: "_25._tcp.mx.example.org.", Type: "TLSA", Detail: "bogus: expired", Err: dns.ErrTemporary}
	timeout := &dns.Error{Name: "_25._tcp.mx.example.org.", Type: "TLSA", Detail: "timeout", Err: dns.ErrTemporary}
	unfetched := mtasts.Finding{Err: &mtasts.Error{Problem: mtasts.Unreachable, Err: errors.New("nobody is there")}}
	unproven := mtasts.Finding{Err: &mtasts.Error{Problem: mtasts.Unproven, Err: errors.New("expired")}}
	unknown := mtasts.Finding{Err: &mtasts.Error{Problem: mtasts.Unknown, Err: timeout}}
	stale := sts(mtasts.Enforce, host)
	stale.Err = unfetched.Err
	set := func(l Level, names ...string) *Transport { return &Transport{Domain: domain, Level: l, Names: names} }
	const dane, pkix = " tlsa mx.example.org,example.org", " authority mx.example.org"
	for name, tt := range map[string]struct {
		facts  roadFacts
		want   string
		policy tlsrpt.PolicyType // of reports; none is no-policy-found
	}{
		"nothing is known": {roadFacts{source: byMX}, "opportunistic", ""},

		// DANE. RFC 7672 §2.2
		"TLSA":                         {roadFacts{source: byProvenMX, dane: tlsaOf(host, usable)}, "authenticated" + dane, tlsrpt.TLSA},
		"TLSA, no MX":                  {roadFacts{source: named, host: domain, dane: tlsaOf(domain, usable)}, "authenticated tlsa example.org", tlsrpt.TLSA},
		"TLSA, unproven MX":            {roadFacts{source: byMX, dane: tlsaOf(host, usable)}, "authenticated tlsa mx.example.org", tlsrpt.TLSA},
		"TLSA at the end of aliases":   {roadFacts{source: byProvenMX, target: "real.example", dane: tlsaOf("mx.real.example", usable)}, "authenticated tlsa mx.real.example,example.org,real.example", tlsrpt.TLSA},
		"TLSA of no use":               {roadFacts{source: byProvenMX, dane: tlsaOf(host, odd)}, "encrypted", tlsrpt.TLSA},
		"TLSA, some of use":            {roadFacts{source: byProvenMX, dane: tlsaOf(host, odd, usable)}, "authenticated" + dane, tlsrpt.TLSA},
		"TLSA cannot be looked up":     {roadFacts{source: byProvenMX, daneErr: timeout}, "opportunistic refused 451 4.4.3 validation-failure", tlsrpt.TLSA},
		"TLSA bogus":                   {roadFacts{source: byProvenMX, daneErr: bogus}, "opportunistic refused 451 4.4.3 dnssec-invalid", tlsrpt.TLSA},
		"TLSA over MTA-STS":            {roadFacts{source: byProvenMX, dane: tlsaOf(host, usable), sts: sts(mtasts.Enforce, host)}, "authenticated" + dane, tlsrpt.TLSA},
		"TLSA over MTA-STS, not named": {roadFacts{source: byProvenMX, dane: tlsaOf(host, usable), sts: sts(mtasts.Enforce, "other.example")}, "authenticated" + dane, tlsrpt.TLSA},
		"TLSA fails beside MTA-STS":    {roadFacts{source: byProvenMX, daneErr: bogus, sts: sts(mtasts.Enforce, host)}, "opportunistic refused 451 4.4.3 dnssec-invalid", tlsrpt.TLSA},

		// MTA-STS. RFC 8461 §5
		"enforce":                    {roadFacts{source: byMX, sts: sts(mtasts.Enforce, host)}, "authenticated" + pkix, tlsrpt.STS},
		"enforce, pattern":           {roadFacts{source: byMX, sts: sts(mtasts.Enforce, "*.example.org")}, "authenticated" + pkix, tlsrpt.STS},
		"enforce, not named":         {roadFacts{source: byMX, sts: sts(mtasts.Enforce, "other.example")}, "authenticated refused 451 4.7.0 validation-failure", tlsrpt.STS},
		"testing":                    {roadFacts{source: byMX, sts: sts(mtasts.Testing, host)}, "opportunistic" + pkix + " trial", tlsrpt.STS},
		"testing, not named":         {roadFacts{source: byMX, sts: sts(mtasts.Testing, "other.example")}, "opportunistic trial beside sts validation-failure", ""},
		"none":                       {roadFacts{source: byMX, sts: sts(mtasts.None, host)}, "opportunistic", ""},
		"enforce, useless TLSA":      {roadFacts{source: byProvenMX, dane: tlsaOf(host, odd), sts: sts(mtasts.Enforce, host)}, "authenticated" + pkix, tlsrpt.STS},
		"testing, useless TLSA":      {roadFacts{source: byProvenMX, dane: tlsaOf(host, odd), sts: sts(mtasts.Testing, host)}, "encrypted" + pkix + " trial", tlsrpt.STS},
		"policy not fetched":         {roadFacts{source: byMX, sts: unfetched}, "opportunistic beside sts sts-policy-fetch-error", ""},
		"policy's host not proven":   {roadFacts{source: byMX, sts: unproven}, "opportunistic beside sts sts-webpki-invalid", ""},
		"policy not known":           {roadFacts{source: byMX, sts: unknown}, "opportunistic", ""},
		"kept policy, not refreshed": {roadFacts{source: byMX, sts: stale}, "authenticated" + pkix + " beside sts sts-policy-fetch-error", tlsrpt.STS},

		// What the administrator says comes first.
		"none by configuration":          {roadFacts{source: byProvenMX, transport: set(NoTLS), dane: tlsaOf(host, usable)}, "clear", ""},
		"may by configuration":           {roadFacts{source: byProvenMX, transport: set(May), sts: sts(mtasts.Enforce, host)}, "opportunistic", ""},
		"require by configuration":       {roadFacts{source: byMX, transport: set(Needed)}, "encrypted", ""},
		"verify by configuration":        {roadFacts{source: byMX, transport: set(Verify)}, "authenticated authority mx.example.org", ""},
		"verify names":                   {roadFacts{source: byMX, transport: set(Verify, "a.example", "b.example")}, "authenticated authority a.example,b.example", ""},
		"fingerprint":                    {roadFacts{source: byMX, transport: set(Pinned)}, "authenticated print", ""},
		"dane by configuration":          {roadFacts{source: byProvenMX, transport: set(DANE), dane: tlsaOf(host, usable)}, "authenticated" + dane, tlsrpt.TLSA},
		"dane by configuration, none":    {roadFacts{source: byProvenMX, transport: set(DANE)}, "opportunistic refused 451 4.7.0 dane-required", ""},
		"dane by configuration, useless": {roadFacts{source: byProvenMX, transport: set(DANE), dane: tlsaOf(host, odd)}, "encrypted refused 451 4.7.0 dane-required", tlsrpt.TLSA},
		"dane by configuration, MX":      {roadFacts{source: byMX, transport: set(DANE), dane: tlsaOf(host, usable)}, "authenticated tlsa mx.example.org refused 451 4.7.0 dane-required", tlsrpt.TLSA},
		"dane by configuration, bogus":   {roadFacts{source: byProvenMX, transport: set(DANE), daneErr: bogus}, "opportunistic refused 451 4.4.3 dnssec-invalid", tlsrpt.TLSA},
		"route that requires":            {roadFacts{security: Encrypted}, "encrypted", ""},
		"route that verifies":            {roadFacts{security: Verified}, "authenticated authority mx.example.org", ""},
		"route over the rest":            {roadFacts{security: Encrypted, transport: set(NoTLS), sts: sts(mtasts.Enforce, host)}, "encrypted", ""},
		"route to an address":            {roadFacts{host: "[192.0.2.1]", domain: "[192.0.2.1]"}, "opportunistic", ""},

		// REQUIRETLS. RFC 8689 §4.2.1
		"required, proven MX":          {roadFacts{source: byProvenMX, wish: requireTLS}, "authenticated" + pkix, ""},
		"required, no MX":              {roadFacts{source: named, wish: requireTLS}, "authenticated" + pkix, ""},
		"required, unproven MX":        {roadFacts{source: byMX, wish: requireTLS}, "authenticated" + pkix + " refused 550 5.7.10", ""},
		"required, perhaps MTA-STS":    {roadFacts{source: byMX, wish: requireTLS, sts: unknown}, "authenticated" + pkix + " refused 451 4.7.10", ""},
		"required, MTA-STS":            {roadFacts{source: byMX, wish: requireTLS, sts: sts(mtasts.Enforce, host)}, "authenticated" + pkix, tlsrpt.STS},
		"required, MTA-STS tests":      {roadFacts{source: byMX, wish: requireTLS, sts: sts(mtasts.Testing, host)}, "authenticated" + pkix, tlsrpt.STS},
		"required, MTA-STS of another": {roadFacts{source: byMX, wish: requireTLS, sts: sts(mtasts.Testing, "a.b")}, "authenticated" + pkix + " refused 550 5.7.10 beside sts validation-failure", ""},
		"required, MTA-STS none":       {roadFacts{source: byMX, wish: requireTLS, sts: sts(mtasts.None, host)}, "authenticated" + pkix + " refused 550 5.7.10", ""},
		"required, DANE":               {roadFacts{source: byProvenMX, wish: requireTLS, dane: tlsaOf(host, usable)}, "authenticated" + dane, tlsrpt.TLSA},
		"required, DANE, unproven MX":  {roadFacts{source: byMX, wish: requireTLS, dane: tlsaOf(host, usable)}, "authenticated tlsa mx.example.org refused 550 5.7.10", tlsrpt.TLSA},
		"required, useless TLSA":       {roadFacts{source: byProvenMX, wish: requireTLS, dane: tlsaOf(host, odd)}, "authenticated" + pkix, tlsrpt.TLSA},
		"required, TLSA bogus":         {roadFacts{source: byProvenMX, wish: requireTLS, daneErr: bogus}, "authenticated" + pkix + " refused 451 4.4.3 dnssec-invalid", tlsrpt.TLSA},
		"required, none configured":    {roadFacts{source: byProvenMX, wish: requireTLS, transport: set(NoTLS)}, "authenticated" + pkix + " refused 550 5.7.10", ""},
		"required, may configured":     {roadFacts{source: byProvenMX, wish: requireTLS, transport: set(May)}, "authenticated" + pkix, ""},
		"required, fingerprint":        {roadFacts{source: byMX, wish: requireTLS, transport: set(Pinned)}, "authenticated print", ""},
		"required, names configured":   {roadFacts{source: byMX, wish: requireTLS, transport: set(Verify, "a.b")}, "authenticated authority a.b", ""},
		"required, by a route":         {roadFacts{wish: requireTLS, security: Encrypted}, "authenticated" + pkix, ""},
		// §5: a notification goes on without rather than not at all.
		"required of a notification":  {roadFacts{source: byMX, wish: requireTLSIf}, "opportunistic" + pkix + " trial", ""},
		"the same, where MTA-STS is":  {roadFacts{source: byMX, wish: requireTLSIf, sts: sts(mtasts.Enforce, host)}, "authenticated" + pkix, tlsrpt.STS},
		"the same, where one demands": {roadFacts{source: byMX, wish: requireTLSIf, transport: set(Needed)}, "encrypted" + pkix + " trial", ""},

		// TLS-Required: No. RFC 8689 §4.2.2
		"optional":                   {roadFacts{source: byMX, wish: optionalTLS}, "opportunistic", ""},
		"optional, DANE":             {roadFacts{source: byProvenMX, wish: optionalTLS, dane: tlsaOf(host, usable)}, "opportunistic" + dane + " trial", tlsrpt.TLSA},
		"optional, useless TLSA":     {roadFacts{source: byProvenMX, wish: optionalTLS, dane: tlsaOf(host, odd)}, "opportunistic trial", tlsrpt.TLSA},
		"optional, TLSA bogus":       {roadFacts{source: byProvenMX, wish: optionalTLS, daneErr: bogus}, "opportunistic trial beside tlsa dnssec-invalid", ""},
		"optional, MTA-STS":          {roadFacts{source: byMX, wish: optionalTLS, sts: sts(mtasts.Enforce, host)}, "opportunistic" + pkix + " trial", tlsrpt.STS},
		"optional, not named":        {roadFacts{source: byMX, wish: optionalTLS, sts: sts(mtasts.Enforce, "a.b")}, "opportunistic trial beside sts validation-failure", ""},
		"optional, but configured":   {roadFacts{source: byMX, wish: optionalTLS, transport: set(Needed)}, "encrypted", ""},
		"optional, but a route says": {roadFacts{wish: optionalTLS, security: Verified}, "authenticated" + pkix, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := tt.facts
			if f.host == "" {
				f.host = host
			}
			if f.domain == "" {
				f.domain = domain
			}
			d := travel(f)
			if got := summary(d); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
			if tt.policy == "" {
				tt.policy = tlsrpt.NoPolicyFound
			}
			if d.policy.Type != tt.policy {
				t.Errorf("policy %q, want %q", d.policy.Type, tt.policy)
			}
			if d.server != strings.Trim(f.host, "[]") && d.server != f.dane.Base {
				t.Errorf("server name %q", d.server)
			}
			if d.must > opportunistic && d.refuse == nil && d.word == "" {
				t.Error("nobody's word")
			}
		})
	}
}

// What the sender requires is never less than what he would get without, and
// what he does not is never more.
func TestWishesOrder(t *testing.T) {
	var all []roadFacts
	for _, s := range []source{named, byMX, byProvenMX} {
		for _, security := range []Security{Opportunistic, Encrypted, Verified} {
			for _, records := range [][]dns.TLSA{nil, {odd}, {usable}} {
				for _, mode := range []mtasts.Mode{"", mtasts.None, mtasts.Testing, mtasts.Enforce} {
					for _, mx := range []string{"mx.example.org", "other.example"} {
						for _, l := range []Level{NoTLS, May, Needed, DANE, Verify, Pinned, ""} {
							f := roadFacts{host: "mx.example.org", domain: "example.org", source: s, security: security, sts: sts(mode, mx)}
							if l != "" {
								f.transport = &Transport{Level: l}
							}
							if len(records) > 0 {
								f.dane = tlsaOf("mx.example.org", records...)
							}
							all = append(all, f)
						}
					}
				}
			}
		}
	}
	for _, f := range all {
		var must []level
		for _, w := range []wish{optionalTLS, nothingSaid, requireTLSIf, requireTLS} {
			f.wish = w
			d := travel(f)
			must = append(must, d.must)
			if w == requireTLS && d.refuse == nil && (d.must != authenticated || d.proof == noProof || !d.vouched || d.trial) {
				t.Errorf("%+v: REQUIRETLS gives %s", f, summary(d))
			}
			if f.security != Opportunistic && d.must < encrypted {
				t.Errorf("%+v: the route demands TLS, and %s", f, summary(d))
			}
		}
		if !slices.IsSorted(must) {
			t.Errorf("%+v: %v", f, must)
		}
	}
}

func TestTransportFor(t *testing.T) {
	all := []Transport{{Domain: "a.example", Level: NoTLS}, {Domain: ".example", Level: Needed}, {Domain: "*", Level: May}}
	for domain, want := range map[string]Level{"a.example": NoTLS, "b.example": Needed, "x.a.example": Needed, "example": May, "other.test": May} {
		if got := transportFor(all, domain); got == nil || got.Level != want {
			t.Errorf("%s: %v, want %s", domain, got, want)
		}
	}
	if got := transportFor(all[:2], "other.test"); got != nil {
		t.Errorf("%v", got)
	}
}

func TestParseFingerprint(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"sha256:" + sum: "sha256:" + sum, "key-sha256:" + strings.ToUpper(sum): "key-sha256:" + sum,
		"sha256:" + strings.Repeat("AB:", 31) + "AB": "sha256:" + sum,
		"": "", sum: "", "sha256:": "", "sha256:" + sum[2:]: "", "sha256:" + sum + "ab": "", "md5:" + sum: "", "sha256:" + strings.Repeat("zz", 32): "",
	} {
		f, err := ParseFingerprint(text)
		if (err == nil) != (want != "") || err == nil && f.String() != want {
			t.Errorf("%q: %q, %v", text, f, err)
		}
	}
}
