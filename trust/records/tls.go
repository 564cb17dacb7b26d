package records

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/trust/dane"
	"waxwing/trust/mtasts"
)

// judgeTLSA compares the record of a key. That there are none is a choice; that
// there are some of which none fits keeps mail away.
func (c Checker) judgeTLSA(d Domain, f *Finding, there bool, answer *dns.Answer) {
	secure := answer.Finding.Security == dns.Secure
	switch {
	case there && !secure:
		f.State, f.Mend = OK, "it counts only in a zone that is signed with DNSSEC, which this is not"
	case there:
		f.State = OK
		var advice []string
		if rest := c.strange(d, answer); f.Record.use == InUse && len(rest) > 0 {
			may := "these records fit no key of the server, and may be removed: "
			if f.Record.foreign {
				may = "these records fit no key that is in use; remove those that are not of the next certificate's key: "
			}
			advice = append(advice, may+strings.Join(rest, ", "))
		}
		if f.Record.foreign {
			advice = append(advice, "the certificate comes from files, so nobody here looks after its next key: "+
				"renew it with the same key, or publish the record of the new key beside this one two days before the new certificate is put in place")
		}
		f.Mend = strings.Join(advice, "; ")
	case len(f.Found) == 0:
		f.State, f.Mend = Missing, "publish it if the zone is signed with DNSSEC; without it others deliver all the same"
	case f.Record.use == Next:
		f.State, f.Mend = Missing, "publish it beside the others: the key is not used before that is seen"
	case !secure:
		f.State, f.Mend = Different, "publish it, or remove the others: they fit nothing, and would keep mail away were the zone signed"
	default:
		c.judgeOthers(d, f, answer)
	}
}

// strange gives the records that fit neither a key of ours nor the certificate.
func (c Checker) strange(d Domain, answer *dns.Answer) []string {
	var rest []string
	for _, r := range tlsaIn(answer) {
		text := dane.Format(r)
		ours := slices.ContainsFunc(d.TLSKeys, func(k TLSKey) bool { return strings.EqualFold(TLSA(k.SPKI), text) })
		if !ours && !c.proves(d, []dns.TLSA{r}) {
			rest = append(rest, text)
		}
	}
	return rest
}

// proves tells whether a record proves the certificate in use.
func (c Checker) proves(d Domain, records []dns.TLSA) bool {
	if len(d.Chain) == 0 {
		return false
	}
	_, err := dane.Verify(c.Now, dane.Usable(records), d.Chain, []string{strings.TrimSuffix(zoneName(d.Host), ".")})
	return err == nil
}

// tlsaIn gives the TLSA records of an answer.
func tlsaIn(answer *dns.Answer) []dns.TLSA {
	var found []dns.TLSA
	for _, rr := range answer.Records {
		if r, ok := rr.(*wire.TLSA); ok {
			if data, err := hex.DecodeString(r.Certificate); err == nil {
				found = append(found, dns.TLSA{Usage: r.Usage, Selector: r.Selector, Matching: r.MatchingType, Data: data})
			}
		}
	}
	return found
}

// judgeOthers looks whether the certificate in use is proven by another record
// than ours.
func (c Checker) judgeOthers(d Domain, f *Finding, answer *dns.Answer) {
	usable := dane.Usable(tlsaIn(answer))
	if c.proves(d, usable) {
		f.State, f.Mend = OK, "another record proves the certificate; this one would also prove those that follow, which have the same key"
		return
	}
	f.State = Different
	if len(usable) == 0 {
		f.Mend = "publish it in place of the others, which nobody can use: whoever wants DANE cannot check the server"
		return
	}
	f.Record.Optional = false
	f.Mend = "none of the records fits the certificate that the server shows: whoever heeds DANE does not deliver. Publish it at once, or remove them all"
}

// judgePolicy compares the record of an MTA-STS policy, and the policy with the
// servers of the domain.
func (c Checker) judgePolicy(ctx context.Context, d Domain, f *Finding, all []string) {
	f.Found = quoted(all, "v=STSv1")
	switch len(f.Found) {
	case 0:
		f.State, f.Mend = Missing, "publish it when "+mtasts.URL(strings.TrimSuffix(zoneName(d.Name), "."))+" can be reached"
		return
	case 1:
	default:
		f.State, f.Mend = Different, "leave one of the records: of several none counts" // RFC 8461 §3.1
		f.Record.Optional = false
		return
	}
	switch id, err := mtasts.ParseRecord(all); {
	case err != nil:
		f.State, f.Mend = Different, "publish it in place of what is there, which nobody can read: "+err.Error()
		return
	case id != PolicyID(d.Policy):
		f.State, f.Mend = Different, "the id is not that of the policy which is served: write id="+PolicyID(d.Policy)+", so that others fetch it anew"
		f.Record.Optional = false
		return
	}
	f.State = OK
	var problems []string
	lookups := dns.NewLookups(c.Source)
	mxs, _, err := lookups.LookupMX(ctx, zoneName(d.Name))
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		problems = append(problems, "the MX records could not be looked up: "+err.Error())
	}
	for _, m := range mxs {
		if d.Policy.Mode != mtasts.None && !d.Policy.Allows(m.Host) {
			problems = append(problems, fmt.Sprintf("the policy does not name the server %s of the MX records: add it to mta_sts.mx, or remove the record", m.Host))
		}
	}
	if len(d.Chain) > 0 && d.Policy.Mode != mtasts.None {
		if err := d.Chain[0].VerifyHostname(strings.TrimSuffix(zoneName(d.Host), ".")); err != nil {
			problems = append(problems, "the certificate does not name the server: "+err.Error())
		}
	}
	if c.Policy != nil {
		if served, err := c.Policy(ctx, strings.TrimSuffix(zoneName(d.Name), ".")); err != nil {
			problems = append(problems, "others cannot fetch the policy: "+err.Error())
		} else if served.String() != d.Policy.String() {
			problems = append(problems, "what others fetch is another policy than this server's")
		}
	}
	if f.Mend = strings.Join(problems, "; "); f.Mend != "" && d.Policy.Mode == mtasts.Enforce {
		f.State, f.Record.Optional = Different, false
	}
}

// judgeAlias looks whether a name leads to the server, by whatever record.
func (c Checker) judgeAlias(ctx context.Context, d Domain, f *Finding) {
	lookups := dns.NewLookups(c.Source)
	found, _, err := lookups.LookupAddr(ctx, f.Record.Name)
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		f.State, f.Mend = Unknown, "it could not be looked up: "+err.Error()
		return
	}
	host, _, err := lookups.LookupAddr(ctx, d.Host)
	if err != nil {
		host = d.Addresses
	}
	switch {
	case len(found) == 0:
		f.State, f.Mend = Missing, "publish it"
	case slices.ContainsFunc(found, func(a netip.Addr) bool { return slices.Contains(host, a) }):
		f.State = OK
	default:
		f.State, f.Mend = Different, "publish it in place of what is there: the name does not lead to this server"
		for _, a := range found {
			f.Found = append(f.Found, a.String())
		}
	}
}
