package records

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/tlsrpt"
)

// judge compares what is there with what is wanted. Many records may differ
// from what we propose, and be right.
func (c Checker) judge(ctx context.Context, d Domain, f *Finding, wanted wire.RR, answer *dns.Answer) {
	there := slices.ContainsFunc(answer.Records, func(rr wire.RR) bool { return same(rr, wanted) })
	switch f.Record.kind {
	case mx:
		judgeMX(f, wanted, answer)
	case spfRecord, helo:
		c.judgeSPF(ctx, d, f, texts(answer))
	case dkimKey:
		judgeKey(f, wanted, answer)
	case dmarcRecord:
		judgeDMARC(f, texts(answer))
	case tlsReports:
		judgeReports(f, texts(answer))
	case tlsa:
		c.judgeTLSA(d, f, there, answer)
	case stsRecord:
		c.judgePolicy(ctx, d, f, texts(answer))
	case alias:
		c.judgeAlias(ctx, d, f)
	default:
		judgeExact(f, there)
	}
}

func judgeExact(f *Finding, there bool) {
	switch {
	case there && (len(f.Found) == 1 || f.Record.kind == address):
		f.State = OK
	case there:
		f.State, f.Mend = OK, "there are others beside it: "+strings.Join(f.Found, ", ")
	case len(f.Found) == 0:
		f.State, f.Mend = Missing, "publish it"
	default:
		f.State, f.Mend = Different, "publish it in place of "+strings.Join(f.Found, ", ")
	}
}

func judgeMX(f *Finding, wanted wire.RR, answer *dns.Answer) {
	var others []string
	for _, rr := range answer.Records {
		if have, ok := rr.(*wire.MX); ok {
			if strings.EqualFold(have.Mx, wanted.(*wire.MX).Mx) {
				f.State = OK
			} else {
				others = append(others, have.Mx)
			}
		}
	}
	switch {
	case f.State == OK && len(others) > 0:
		f.Mend = "the domain's mail also goes to " + strings.Join(others, " ") + "; remove that unless it passes it on to here"
	case f.State == OK:
	case len(others) > 0:
		f.State, f.Mend = Different, "publish it in place of the others: the domain's mail goes to "+strings.Join(others, " ")
	default:
		f.State, f.Mend = Missing, "publish it: nobody knows where the domain's mail goes"
	}
}

// judgeSPF has the record tried for the server's addresses: what it says beside
// is the operator's.
func (c Checker) judgeSPF(ctx context.Context, d Domain, f *Finding, all []string) {
	var found []string
	for _, text := range all {
		if text = strings.ToLower(text); text == "v=spf1" || strings.HasPrefix(text, "v=spf1 ") { // RFC 7208 §4.5
			found = append(found, text)
		}
	}
	f.Found = quoted(all, "v=spf1")
	switch len(found) {
	case 0:
		f.State, f.Mend = Missing, "publish it"
		return
	case 1:
	default:
		f.State, f.Mend = Different, "leave one of the records that begin with v=spf1: of several none counts" // RFC 7208 §4.5
		return
	}
	f.State = OK
	lookups := dns.NewLookups(c.Source)
	addresses, _, err := lookups.LookupAddr(ctx, d.Host)
	if err != nil {
		addresses = d.Addresses
	}
	name := strings.TrimSuffix(f.Record.Name, ".")
	for _, ip := range addresses {
		q := spf.Query{IP: ip, Helo: strings.TrimSuffix(zoneName(d.Host), "."), Receiver: "example.invalid", Now: c.Now}
		if f.Record.kind == helo {
			q.Helo = name
		} else {
			q.Sender = "postmaster@" + name
		}
		if v := spf.Check(ctx, lookups, q); v.Result != spf.Pass {
			f.State = Different
			f.Mend = fmt.Sprintf("it does not permit this server to send (%s says %s): let it be %s, or add \"mx\" to it", ip, v.Result, f.Record.Data)
			if v.Problem != "" {
				f.Mend += "; " + v.Problem
			}
			return
		}
	}
	// Nobody has these addresses. RFC 5737 §3, RFC 3849 §2
	for _, ip := range []string{"198.51.100.254", "2001:db8:ffff::fffe"} {
		q := spf.Query{IP: netip.MustParseAddr(ip), Helo: name, Sender: "postmaster@" + name, Receiver: "example.invalid", Now: c.Now}
		if v := spf.Check(ctx, lookups, q); v.Result == spf.Pass {
			f.State, f.Mend = Different, fmt.Sprintf("it permits everybody to send in the domain's name (by %q): take that out, and let it end with -all", v.Term)
			return
		}
	}
}

func judgeKey(f *Finding, wanted wire.RR, answer *dns.Answer) {
	want := strings.Join(wanted.(*wire.TXT).Txt, "")
	for _, text := range texts(answer) {
		if tagOf(text, "p") == tagOf(want, "p") && tagOf(text, "p") != "" {
			f.State = OK
			if _, err := dkim.ParseKey(text); err != nil {
				f.State, f.Mend = Different, "the key is there, but the record is not well-formed: "+err.Error()
			} else if len(f.Found) > 1 {
				f.State, f.Mend = Different, "remove the other TXT records of the name: there may be only one" // RFC 6376 §3.6.2.2
			}
			return
		}
	}
	judgeExact(f, false)
	if f.Record.Optional && f.State == Missing {
		f.Mend = "keep it for a while: mail that the key has signed may still be under way"
	}
}

// tagOf gives a tag of a key record, without white space in it.
func tagOf(text, name string) string {
	tags, err := dkim.ParseTags(text)
	if err != nil {
		return ""
	}
	value, _ := tags.Get(name)
	return strings.Join(strings.Fields(value), "")
}

func judgeDMARC(f *Finding, all []string) {
	var found []dmarc.Record
	for _, text := range all {
		if r, ok := dmarc.ParseRecord(text); ok {
			found = append(found, r)
		}
	}
	f.Found = quoted(all, "v=DMARC1")
	switch {
	case len(found) == 0 && len(all) > 0:
		f.State, f.Mend = Different, "publish it; what is there cannot be read"
	case len(found) == 0:
		f.State, f.Mend = Missing, "publish it"
	case len(found) > 1:
		f.State, f.Mend = Different, "leave one of the records: of several none counts" // RFC 9989 §4.10
	default:
		f.State = OK
		if found[0].Policy == dmarc.None {
			f.Mend = "it only watches (p=none): when the reports are good, write p=quarantine or p=reject"
		}
	}
}

// judgeReports takes any one record that asks for reports of TLS.
func judgeReports(f *Finding, all []string) {
	f.Found = quoted(all, tlsrpt.Version)
	switch len(f.Found) {
	case 0:
		f.State, f.Mend = Missing, "publish it"
	case 1:
		f.State = OK
		for _, text := range all {
			if !strings.EqualFold(text[:min(len(text), len(tlsrpt.Version))], tlsrpt.Version) {
				continue
			}
			if _, err := tlsrpt.ParseRecord(text); err != nil {
				f.State, f.Mend = Different, "publish it; what is there is not well-formed: "+err.Error()
			}
		}
	default:
		f.State, f.Mend = Different, "leave one of the records: of several none counts" // RFC 8460 §3
	}
}

// texts gives the TXT records of an answer.
func texts(answer *dns.Answer) []string {
	var all []string
	for _, rr := range answer.Records {
		if txt, ok := rr.(*wire.TXT); ok {
			all = append(all, strings.Join(txt.Txt, ""))
		}
	}
	return all
}

// quoted gives the texts that begin with the words, as a zone file holds them.
func quoted(all []string, words string) []string {
	var some []string
	for _, text := range all {
		if len(text) >= len(words) && strings.EqualFold(text[:len(words)], words) {
			some = append(some, Quote(text))
		}
	}
	return some
}
