package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"waxwing/flow/policy"
	"waxwing/store/peers"
	"waxwing/trust/arc"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/verify"
)

// message is one that DMARC fails for, and whose author wants it refused.
func message(change ...func(*policy.Proven)) policy.Proven {
	m := policy.Proven{Findings: verify.Findings{
		Authors: []string{"mail.a.example"},
		SPF:     spf.Verdict{Result: spf.Fail, Domain: "a.example", Term: "-all"},
		ARC:     arc.Verdict{Status: arc.None},
		DMARC:   dmarc.Verdict{Result: dmarc.Fail, Author: "mail.a.example", Domain: "a.example", Wanted: dmarc.Reject},
	}}
	for _, fn := range change {
		fn(&m)
	}
	return m
}

func TestMessage(t *testing.T) {
	wants := func(p dmarc.Policy) func(*policy.Proven) { return func(m *policy.Proven) { m.DMARC.Wanted = p } }
	result := func(r dmarc.Result) func(*policy.Proven) {
		return func(m *policy.Proven) { m.DMARC.Result, m.DMARC.Problem = r, "no answer" }
	}
	listed := func(m *policy.Proven) { m.List = "l.list.example" }
	carried := func(m *policy.Proven) { m.SPF = spf.Verdict{Result: spf.Pass, Domain: "list.example"} }
	signed := func(m *policy.Proven) {
		m.DKIM = []dkim.Result{{Status: dkim.Fail, Domain: "a.example"}, {Status: dkim.Pass, Domain: "list.example"}}
	}
	sealedBy := func(m *policy.Proven) {
		m.ARC = arc.Verdict{Status: arc.Pass, Links: []arc.Link{{Domain: "list.example"}}}
	}
	vouched := func(m *policy.Proven) { m.Sealer = "list.example" }
	postmaster := func(m *policy.Proven) { m.Postmaster = true }
	twoAuthors := func(m *policy.Proven) {
		m.Authors, m.DMARC = []string{"a.example", "b.example"}, dmarc.Verdict{Result: dmarc.PermError}
	}
	nobody := func(m *policy.Proven) {
		m.Authors, m.Origin.Sender, m.DMARC = nil, "ann@b.example", dmarc.Verdict{Result: dmarc.PermError}
	}
	fromNobody := func(m *policy.Proven) { m.Origin.Sender = "" }
	twice := func(m *policy.Proven) { m.Froms = 2 }
	obscure := func(m *policy.Proven) { m.Obscure = true }
	unasked := func(m *policy.Proven) { m.DMARC = dmarc.Verdict{Result: dmarc.TempError, Author: "mail.a.example"} }
	noKey := func(m *policy.Proven) { m.DKIM = []dkim.Result{{Status: dkim.TempError, Reason: "no answer"}} }

	heeds := func(h policy.Heed, domains ...string) policy.Rules {
		return rules(func(r *policy.Rules) {
			r.Trust.DMARC, r.Trust.Domains = policy.HeedAll, map[string]policy.Heed{}
			if len(domains) == 0 {
				r.Trust.DMARC = h
			}
			for _, d := range domains {
				r.Trust.Domains[d] = h
			}
		})
	}
	usual, off, junk := rules(), heeds(policy.HeedNot), heeds(policy.HeedJunk)
	strict := rules(func(r *policy.Rules) { r.Trust.SPF = policy.Refuse })
	deferring := rules(func(r *policy.Rules) { r.Trust.Defer = true })

	for name, tt := range map[string]struct {
		rules  policy.Rules
		host   policy.Host
		m      policy.Proven
		want   string // "yes", "junk" or the refusal
		reason string
	}{
		"genuine":                       {usual, stranger(), message(result(dmarc.Pass)), "yes", ""},
		"no policy":                     {usual, stranger(), message(result(dmarc.NoRecord)), "yes", ""},
		"... and SPF counts":            {strict, stranger(), message(result(dmarc.NoRecord)), "550 5.7.23", "-all of a.example"},
		"... but not to postmaster":     {strict, stranger(), message(result(dmarc.NoRecord), postmaster), "yes", ""},
		"... nor for allowed hosts":     {strict, stranger(allowed), message(result(dmarc.NoRecord)), "yes", ""},
		"... and SPF passes":            {strict, stranger(), message(result(dmarc.NoRecord), carried), "yes", ""},
		"SPF fails where DMARC passes":  {strict, stranger(), message(result(dmarc.Pass)), "yes", ""},
		"refused":                       {usual, stranger(), message(), "550 5.7.26", "a.example wants such mail refused"},
		"of a trusted host":             {usual, policy.Host{}, message(), "550 5.7.26", ""},
		"set aside":                     {usual, stranger(), message(wants(dmarc.Quarantine)), "junk", "mail.a.example wants that"},
		"nothing wanted":                {usual, stranger(), message(wants(dmarc.None)), "yes", ""},
		"not heeded":                    {off, stranger(), message(), "yes", "does not heed"},
		"not heeded for the domain":     {heeds(policy.HeedNot, "a.example"), stranger(), message(), "yes", "does not heed"},
		"... but for another":           {heeds(policy.HeedNot, "b.example", "xmail.a.example", "example.a"), stranger(), message(), "550 5.7.26", ""},
		"set aside at most":             {junk, stranger(), message(), "junk", "refuses nothing of mail.a.example"},
		"vouched for":                   {usual, stranger(), message(vouched, sealedBy), "yes", "list.example has changed it"},
		"sealed, not believed":          {usual, stranger(), message(sealedBy), "550 5.7.26", ""},
		"through a list":                {usual, stranger(), message(listed, carried), "junk", "l.list.example, proven to be from list.example"},
		"through a list that signs":     {usual, stranger(), message(listed, signed), "junk", "from list.example"},
		"through a list that seals":     {usual, stranger(), message(listed, sealedBy), "junk", "from list.example"},
		"says that it is a list":        {usual, stranger(), message(listed), "550 5.7.26", ""},
		"carried, but by no list":       {usual, stranger(), message(carried), "550 5.7.26", ""},
		"to postmaster":                 {usual, stranger(), message(postmaster), "junk", "postmaster"},
		"of an allowed host":            {usual, stranger(allowed), message(), "yes", "allowed as 192.0.2.7"},
		"of an allowed host, junk":      {usual, stranger(allowed), message(wants(dmarc.Quarantine)), "yes", "allowed"},
		"two authors":                   {usual, stranger(), message(twoAuthors), "junk", "a.example and b.example"},
		"... and nobody cares":          {off, stranger(), message(twoAuthors), "yes", ""},
		"two From fields":               {usual, stranger(), message(result(dmarc.Pass), twice), "junk", "2 From fields"},
		"no author":                     {usual, stranger(), message(nobody), "junk", "names nobody"},
		"... of a notification":         {usual, stranger(), message(nobody, fromNobody), "yes", ""},
		"... that looks like one":       {usual, stranger(), message(nobody, fromNobody, obscure), "junk", "names nobody"},
		"... and nobody cares, either":  {off, stranger(), message(nobody), "yes", ""},
		"no answer":                     {usual, stranger(), message(result(dmarc.TempError)), "junk", "for now whether it is from mail.a.example"},
		"no answer, to postmaster":      {usual, stranger(), message(result(dmarc.TempError), postmaster), "junk", "for now"},
		"no answer, not heeded":         {off, stranger(), message(result(dmarc.TempError)), "yes", ""},
		"no answer, nothing wanted":     {usual, stranger(), message(result(dmarc.TempError), wants(dmarc.None)), "yes", ""},
		"no answer, vouched for":        {usual, stranger(), message(result(dmarc.TempError), vouched), "yes", ""},
		"no answer about a policy":      {usual, stranger(), message(unasked), "yes", ""},
		"no answer, put off":            {deferring, stranger(), message(result(dmarc.TempError)), "451 4.4.3", "no answer"},
		"a stranger's key, put off":     {deferring, stranger(), message(noKey), "550 5.7.26", ""},
		"no key, proven otherwise":      {deferring, stranger(), message(noKey, result(dmarc.Pass)), "yes", ""},
		"no answer about allowed hosts": {deferring, stranger(allowed), message(result(dmarc.TempError)), "yes", ""},
	} {
		v := tt.rules.Message(tt.host, tt.m)
		got, reason := says(v), v.Reason
		if v.Junk {
			got += ", junk"
		}
		if v.Refusal != nil {
			reason = v.Refusal.Error()
		}
		if strings.TrimPrefix(got, "yes, ") != tt.want || !strings.Contains(reason, tt.reason) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got, reason, tt.want, tt.reason)
		}
		if (v.Junk || v.Refusal != nil) && reason == "" {
			t.Errorf("%s: no reason", name)
		}
	}
}

func TestVerifies(t *testing.T) {
	tr := policy.Trust{Unverified: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for addr, want := range map[string]bool{"127.0.0.1": false, "::ffff:127.0.0.1": false, "::1": true, "192.0.2.1": true} {
		if tr.Verifies(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: not %v", addr, want)
		}
	}
	if tr.Verifies(netip.Addr{}) {
		t.Error("who has no address is verified")
	}
}

// A sender who forbids the host to send makes a stranger suspicious.
func TestDenied(t *testing.T) {
	tx := policy.Transaction{Exists: true}
	deniedTx := tx
	deniedTx.Denied = true
	ignoring := rules(func(r *policy.Rules) { r.Trust.SPF = policy.Ignore })
	off := rules(func(r *policy.Rules) { r.Greylist = policy.GreyOff })
	known := stranger(with(peers.Delivered, 5))
	for name, tt := range map[string]struct {
		rules     policy.Rules
		host      policy.Host
		asks, put bool
	}{
		"a stranger":     {rules(), stranger(), true, true},
		"suspicious":     {rules(), stranger(nameless), false, true},
		"a known one":    {rules(), known, false, false},
		"of this place":  {rules(), stranger(private), false, false},
		"ignored":        {ignoring, stranger(), false, false},
		"no greylisting": {off, stranger(), false, false},
	} {
		if got := tt.rules.AsksSender(tt.host, tx); got != tt.asks {
			t.Errorf("%s: asked %v", name, got)
		}
		if got := tt.rules.Greylists(tt.host, deniedTx); got != tt.put {
			t.Errorf("%s: put off %v", name, got)
		}
	}
}
