package relay

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"waxwing/dns"
	"waxwing/proto/smtp"
	"waxwing/trust/dane"
	"waxwing/trust/mtasts"
	"waxwing/trust/tlsrpt"
)

// How a message may travel to a host is decided here, and nowhere else: travel
// makes a demand of facts, without asking anybody. What the administrator has
// said comes first, then DANE, then MTA-STS, then TLS where it is offered; what
// the sender of a message wants is added to that.

// A source says where the name of a host comes from.
type source int

const (
	named      source = iota // from the configuration, or the domain is its own host
	byMX                     // from an MX record that nothing proves
	byProvenMX               // from an MX record that DNSSEC proves
)

// A wish is what a message's sender wants of its way. RFC 8689
type wish int

const (
	nothingSaid  wish = iota
	requireTLS        // REQUIRETLS
	requireTLSIf      // REQUIRETLS of a notification, which goes on without rather than not at all
	optionalTLS       // TLS-Required: No
)

// roadFacts are what is known before a host is called.
type roadFacts struct {
	host      string // by the name in the MX record; or an address literal
	domain    string // that the mail goes to, or of the smarthost; in A-labels
	target    string // the same at the end of its aliases
	source    source
	security  Security   // of the route
	transport *Transport // what the administrator has said; nil for nothing
	dane      dns.DANE
	daneErr   error // its records could not be looked up, and there may be some
	sts       mtasts.Finding
	wish      wish
}

// A level is how far a connection is protected.
type level int

const (
	inClear       level = iota // TLS is not used
	opportunistic              // TLS where it is offered. RFC 7435
	encrypted                  // TLS, whatever the certificate
	authenticated              // TLS, and the host has proven who it is
)

// A proof is how a host proves who it is.
type proof int

const (
	noProof     proof = iota
	byTLSA            // by DANE
	byAuthority       // by a certificate for its name that an authority vouches for
	byPrint           // by a certificate or key that is known
)

// A demand is how a message may travel to a host.
type demand struct {
	must  level
	proof proof
	word  string // whose demand it is, in words
	// trial says that the proof is looked at but what must is less: what comes
	// of it is reported, and mail goes anyhow.
	trial bool

	server       string     // the name to ask for: RFC 7672 §8.1, RFC 8461 §7.1
	names        []string   // that a certificate may have
	tlsa         []dns.TLSA // usable ones
	fingerprints []Fingerprint
	afresh       bool // no TLS session is resumed

	// refuse says that the host must not be called at all; nil if it may be.
	refuse *unmet
	// vouched says that the name of the host can be believed, so that who proves
	// to be it is the right one. RFC 8689 §2
	vouched bool
	// strict makes what is not met final. RFC 8689 §4.2.1
	strict bool

	policy tlsrpt.Policy  // that is applied, for reports
	beside []reportedFail // what went wrong with other policies
}

// A reportedFail is trouble with a policy that is reported on its own.
type reportedFail struct {
	policy tlsrpt.Policy
	result tlsrpt.ResultType
	reason string
}

// An unmet is a demand that a host does not meet: a *smtp.Refusal with what is
// reported of it, which is Success where it is nobody's business but ours.
type unmet struct {
	*smtp.Refusal
	result tlsrpt.ResultType
}

// Unwrap gives the refusal.
func (u *unmet) Unwrap() error { return u.Refusal }

// travel decides how a message may travel to a host.
func travel(f roadFacts) demand {
	d := demand{
		must: opportunistic, server: strings.Trim(f.host, "[]"), vouched: f.source != byMX,
		policy: tlsrpt.Policy{Type: tlsrpt.NoPolicyFound, Domain: f.domain},
	}
	switch {
	case f.security != Opportunistic: // the route says so
		d.must, d.word = encrypted, "the route"
		if f.security == Verified {
			d.byAuthority(f.host)
			d.must = authenticated
		}
	case f.transport != nil:
		d.configured(f)
	default:
		d.published(f)
	}
	d.wished(f)
	return d
}

// byAuthority demands a certificate for one of the names.
func (d *demand) byAuthority(names ...string) { d.proof, d.names = byAuthority, names }

// configured takes what the administrator has said.
func (d *demand) configured(f roadFacts) {
	d.word = "the configuration"
	switch f.transport.Level {
	case NoTLS:
		d.must = inClear
	case May:
	case Needed:
		d.must = encrypted
	case Verify:
		d.must = authenticated
		d.byAuthority(f.host)
		if len(f.transport.Names) > 0 {
			d.names, d.vouched = f.transport.Names, true
		}
	case Pinned:
		d.must, d.proof, d.vouched = authenticated, byPrint, true
		d.fingerprints = f.transport.Fingerprints
	case DANE:
		d.mandatory(f)
	}
}

// mandatory demands DANE. RFC 7672 §6
func (d *demand) mandatory(f roadFacts) {
	d.byDANE(f)
	switch {
	case d.refuse != nil:
	case f.source == byMX:
		d.refuse = unmetf(tlsrpt.DANERequired, 4, 7, 0, "DANE is demanded for %s, and nothing proves its MX records", f.domain)
	case d.proof != byTLSA:
		d.refuse = unmetf(tlsrpt.DANERequired, 4, 7, 0, "DANE is demanded for %s, and its host %s has no TLSA records that can be used", f.domain, f.host)
	}
	d.word = "the configuration, DANE"
}

// published takes what the domain has published: DANE over MTA-STS, which must
// not override a DANE that fails. RFC 8461 §2
func (d *demand) published(f roadFacts) {
	d.byDANE(f)
	d.noteSTS(f)
	if d.refuse != nil || d.proof == byTLSA {
		return
	}
	p := f.sts.Policy
	if p.Mode != mtasts.Enforce && p.Mode != mtasts.Testing {
		return
	}
	least := d.must // what TLSA records demand of which none can be used
	d.policy, d.word = stsPolicy(f.domain, p), "MTA-STS"
	if !p.Allows(f.host) { // RFC 8461 §4.1
		d.refuse = unmetf(tlsrpt.ValidationFailure, 4, 7, 0, "the MTA-STS policy of %s does not name the host %s", f.domain, f.host)
	} else {
		d.byAuthority(f.host)
		d.vouched = true
	}
	if p.Mode == mtasts.Testing { // RFC 8461 §5
		d.word = "MTA-STS (testing)"
		d.relent()
		d.must = least
		return
	}
	d.must = authenticated
}

// byDANE takes the TLSA records of the host, which must come proven. Where its
// name does not, they say something about the host all the same (RFC 7672
// §2.2.1), but not that it is the domain's.
func (d *demand) byDANE(f roadFacts) {
	if f.daneErr != nil {
		result := tlsrpt.ValidationFailure
		var failure *dns.Error
		if errors.As(f.daneErr, &failure) && strings.HasPrefix(failure.Detail, "bogus") {
			result = tlsrpt.DNSSECInvalid
		}
		// Somebody may be keeping the records from us. RFC 7672 §2.1.2
		d.refuse = unmetf(result, 4, 4, 3, "cannot look up the TLSA records of the mail host %s", f.host)
		d.refuse.Err = f.daneErr
		d.word, d.policy = "DANE", tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: f.host}
		return
	}
	if len(f.dane.TLSA) == 0 {
		return
	}
	d.word, d.must = "DANE", encrypted // RFC 7672 §2.2
	d.policy = tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: f.dane.Base}
	for _, r := range f.dane.TLSA[:min(len(f.dane.TLSA), maxReported)] {
		d.policy.Text = append(d.policy.Text, dane.Format(r))
	}
	if d.tlsa = dane.Usable(f.dane.TLSA); len(d.tlsa) == 0 {
		d.word = "TLSA records of which none can be used"
		return
	}
	d.must, d.proof, d.server = authenticated, byTLSA, f.dane.Base
	d.names = []string{f.dane.Base} // RFC 7672 §3.2.2
	if f.source != byMX {
		for _, name := range []string{f.domain, f.target} {
			if name != "" && !slices.Contains(d.names, name) {
				d.names = append(d.names, name)
			}
		}
	}
	if f.source == byMX {
		d.word = "DANE, of a host that unproven MX records name" // RFC 7672 §2.2.1: not to be mistaken
	}
}

// maxReported is how many of a stranger's records are repeated in reports.
const maxReported = 20

// noteSTS notes what went wrong in finding the MTA-STS policy. RFC 8461 §6
func (d *demand) noteSTS(f roadFacts) {
	if f.sts.Err == nil || f.sts.Policy.Mode == mtasts.None {
		return
	}
	fail := reportedFail{policy: stsPolicy(f.domain, f.sts.Policy), reason: f.sts.Err.Error()}
	switch f.sts.Err.Problem {
	case mtasts.Unreachable:
		fail.result = tlsrpt.STSPolicyFetchError
	case mtasts.Unproven:
		fail.result = tlsrpt.STSWebPKIInvalid
	case mtasts.Invalid:
		fail.result = tlsrpt.STSPolicyInvalid
	default:
		return // RFC 8460 §4.3.4: it may pass
	}
	d.beside = append(d.beside, fail)
}

func stsPolicy(domain string, p mtasts.Policy) tlsrpt.Policy {
	return tlsrpt.Policy{Type: tlsrpt.STS, Domain: domain, Text: p.Lines(), MX: p.MX}
}

// relent lets mail go whatever comes of the proof.
func (d *demand) relent() {
	if d.refuse != nil {
		d.beside = append(d.beside, reportedFail{d.policy, d.refuse.result, d.refuse.Text})
		d.refuse, d.policy = nil, tlsrpt.Policy{Type: tlsrpt.NoPolicyFound, Domain: d.policy.Domain}
	}
	d.trial, d.must = true, min(d.must, opportunistic)
}

// wished adds what the sender wants.
func (d *demand) wished(f roadFacts) {
	switch f.wish {
	case optionalTLS:
		// It goes past what the domain has published, not past what the
		// administrator says. RFC 8689 §4.2.2
		if f.security == Opportunistic && f.transport == nil && (d.must > opportunistic || d.refuse != nil) {
			d.relent()
			d.word += ", but the message says \"TLS-Required: No\""
		}
	case requireTLS, requireTLSIf:
		if d.proof == noProof {
			d.byAuthority(f.host)
			d.trial = f.wish == requireTLSIf
		}
		if d.vouched = d.vouched || f.sts.Policy.Mode != mtasts.None && f.sts.Policy.Allows(f.host); f.wish == requireTLSIf {
			return
		}
		d.required(f)
	}
}

// required demands what REQUIRETLS wants. What fails then is final, but for what
// a policy has to do with that may have been replaced. RFC 8689 §4.2.1, RFC 8461
// §5
func (d *demand) required(f roadFacts) {
	d.strict = d.policy.Type != tlsrpt.STS
	class := uint16(5)
	if !d.strict || f.sts.Err != nil && f.sts.Err.Problem == mtasts.Unknown {
		class = 4
	}
	switch {
	case d.refuse != nil:
	case d.must == inClear:
		d.refuse = unmetf(tlsrpt.Success, 5, 7, 10, "encryption needed: the message requires TLS, and the configuration forbids it with %s", f.domain)
	case !d.vouched: // RFC 8689 §4.2.1 (2)
		d.refuse = unmetf(tlsrpt.Success, class, 7, 10,
			"encryption needed: the message requires a host whose name is proven, and neither DNSSEC nor MTA-STS proves that %s is a host of %s", f.host, f.domain)
	}
	if d.must < authenticated {
		d.must, d.trial = authenticated, false
		if d.word != "" {
			d.word += ", and "
		}
		d.word += "REQUIRETLS"
	}
}

// unmetf makes a finding of ours.
func unmetf(result tlsrpt.ResultType, class, subject, detail uint16, format string, args ...any) *unmet {
	return &unmet{ownRefusal(class, subject, detail, format, args...), result}
}

// offersNone says that a host has no TLS where it must.
func (d *demand) offersNone(host string) *unmet {
	class := uint16(4)
	if d.strict {
		class = 5
	}
	return unmetf(tlsrpt.STARTTLSNotSupported, class, 7, 10, "encryption needed: %s offers no TLS, and %s demands it", host, d.whose())
}

// failed says that TLS with a host did not come about, or did not prove it.
func (d *demand) failed(host string, result tlsrpt.ResultType, err error) *unmet {
	class, detail := uint16(4), uint16(5) // RFC 3463 §3.8: cryptographic failure
	if d.strict {
		class, detail = 5, 10
	}
	return unmetf(result, class, 7, detail, "TLS with %s failed, and %s demands it: %v", host, d.whose(), err)
}

// whose names who demands it.
func (d *demand) whose() string { return cmp.Or(d.word, "the route") } // by TLS from the first octet on
