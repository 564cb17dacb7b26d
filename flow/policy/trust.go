package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"waxwing/trust/arc"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/verify"
)

// Heed says how far we do what the domains of authors want done with mail that
// is not proven to be theirs.
type Heed uint8

// The degrees.
const (
	HeedNot  Heed = iota // nothing is done
	HeedJunk             // such mail is set aside as junk, and never refused
	HeedAll              // it is refused where the domain wants that
)

// Trust says what follows from what is proven of a message. The zero value
// verifies all, and does nothing about it but to mark who may not send.
type Trust struct {
	// Unverified are networks whose mail is not verified.
	Unverified []netip.Prefix
	// DMARC is heeded so far, and for the domains in Domains, with what lies
	// below them, as these say.
	DMARC   Heed
	Domains map[string]Heed
	// Sealers are believed about mail that they have changed: see
	// verify.Options.
	Sealers []string
	// SPF says how it is held that the sender's domain forbids the host to send,
	// where DMARC says nothing of the author.
	SPF Strictness
	// Defer puts mail off that cannot be verified for now, instead of taking it.
	Defer bool
}

// Verifies tells whether the mail of a host is verified.
func (t Trust) Verifies(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	return !slices.ContainsFunc(t.Unverified, func(n netip.Prefix) bool { return n.Contains(a) })
}

// heed gives how far DMARC is heeded for an author's domain: as the nearest
// domain in Domains says.
func (t Trust) heed(author string) Heed {
	for domain := author; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if h, ok := t.Domains[domain]; ok {
			return h
		}
	}
	return t.DMARC
}

// A Proven message is one that has come, with what is proven of it.
type Proven struct {
	verify.Findings
	// Postmaster says that it is for postmasters only.
	Postmaster bool
}

// Message decides about a message by what is proven of it. The verdict's Reason
// says why it is set aside, or why it is taken though DMARC fails.
func (r Rules) Message(h Host, m Proven) Verdict {
	switch {
	case m.DMARC.Result == dmarc.Fail:
		return r.unproven(h, m)
	case m.DMARC.Result == dmarc.TempError:
		return r.unsettled(h, m)
	case len(m.Authors) > 1 && r.Trust.DMARC != HeedNot && !allowed(h):
		// Two authors make it unclear whose word counts; forgers like that.
		// RFC 9989 §11.5
		return Verdict{Junk: true, Reason: "set aside: its From names several domains, " + strings.Join(m.Authors, " and ")}
	case m.Froms > 1 && r.Trust.DMARC != HeedNot && !allowed(h): // RFC 6376 §8.15
		return Verdict{Junk: true, Reason: fmt.Sprintf("set aside: it has %d From fields, and what is proven may be of another than is shown", m.Froms)}
	case len(m.Authors) == 0 && (m.Obscure || m.Origin.Sender != "") && r.Trust.DMARC != HeedNot && !allowed(h):
		// The same with none, but for notifications, which some write without.
		return Verdict{Junk: true, Reason: "set aside: its From names nobody whose domain could be asked"}
	case m.DMARC.Result == dmarc.NoRecord && m.SPF.Result == spf.Fail && r.Trust.SPF == Refuse && !allowed(h) && !m.Postmaster:
		// RFC 7372 §3.2: SPF validation failed. RFC 7208 §8.4
		return refuse(550, 5, 7, 23, fmt.Sprintf("%s does not let your address send its mail", m.SPF.Domain),
			"SPF fails by %s, and DMARC says nothing", termOf(m.SPF))
	}
	return Verdict{}
}

// unsettled decides about a message of which cannot be found out for now whether
// it is proven: no policy of its author applies then (RFC 9989 §5.3.6). Where
// there is one that would keep forged mail out, it stays out of sight at least:
// forgers can choose signatures whose keys nobody finds.
func (r Rules) unsettled(h Host, m Proven) Verdict {
	switch author := m.DMARC.Author; {
	case allowed(h):
	case r.Trust.Defer:
		return refuse(451, 4, 4, 3, // RFC 7208 §8.6
			"it cannot be found out for now whether this message is genuine, try later",
			"it could not be verified: %s", m.DMARC.Problem)
	case m.Sealer != "" || r.Trust.heed(author) == HeedNot:
	case m.DMARC.Domain != "" && m.DMARC.Wanted != dmarc.None:
		return Verdict{Override: LocalPolicy, Junk: true, Reason: fmt.Sprintf("set aside: it cannot be found out for now whether it is from %s, "+
			"which wants mail kept out that is not: %s", author, m.DMARC.Problem)}
	}
	return Verdict{}
}

// unproven decides about a message that DMARC fails for. RFC 9989 §7.4 wants
// that p=reject alone is no reason to refuse: what speaks for a message is
// weighed first.
func (r Rules) unproven(h Host, m Proven) Verdict {
	author, wanted := m.DMARC.Author, m.DMARC.Wanted
	switch heed := r.Trust.heed(author); {
	case wanted == dmarc.None:
		return Verdict{}
	case heed == HeedNot:
		return Verdict{Override: LocalPolicy, Reason: "taken though DMARC fails: the configuration does not heed the policy of " + author}
	case m.Sealer != "":
		return Verdict{Override: TrustedForwarder, Reason: "taken though DMARC fails: " + m.Sealer + " has changed it, is believed, and saw it pass"}
	case allowed(h):
		return Verdict{Override: LocalPolicy, Reason: "taken though DMARC fails: the host is allowed as " + h.Rule.Name}
	case wanted == dmarc.Quarantine:
		return Verdict{Junk: true, Reason: "set aside: DMARC fails, and " + author + " wants that"}
	case heed == HeedJunk:
		return Verdict{Override: LocalPolicy, Junk: true, Reason: "set aside: DMARC fails; the configuration refuses nothing of " + author}
	case m.Postmaster: // somebody must be able to ask why. RFC 5321 §4.5.1
		return Verdict{Override: LocalPolicy, Junk: true, Reason: "set aside: DMARC fails, and it is for postmaster, who hears everybody"}
	}
	if carrier := m.carrier(); m.List != "" && carrier != "" {
		return Verdict{Override: MailingList, Junk: true, Reason: fmt.Sprintf("set aside, not refused: DMARC fails as it does when a mailing list changes a message; "+
			"this one came through %s, proven to be from %s; trust.sealers can name those to believe", m.List, carrier)}
	}
	// RFC 7372 §3.4: multiple authentication checks failed
	return refuse(550, 5, 7, 26, fmt.Sprintf("this message is not proven to be from %s, which wants such mail refused (DMARC)", author),
		"DMARC fails, and %s wants such mail refused", m.DMARC.Domain)
}

// carrier is a domain that stands with its own name for having passed the
// message on, "" if there is none.
func (m Proven) carrier() string {
	for _, s := range m.DKIM {
		if s.Status == dkim.Pass {
			return s.Domain
		}
	}
	switch n := len(m.ARC.Links); {
	case m.SPF.Result == spf.Pass:
		return m.SPF.Domain
	case m.ARC.Status == arc.Pass && n > 0:
		return m.ARC.Links[n-1].Domain
	}
	return ""
}

func termOf(v spf.Verdict) string {
	if v.Term == "" {
		return "the record of " + v.Domain
	}
	return v.Term + " of " + v.Domain
}
