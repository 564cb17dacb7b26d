package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"waxwing/dns"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/trust/mtasts"
	"waxwing/trust/tlsrpt"
)

// A PolicyFinder finds the MTA-STS policies of domains; a *mtasts.Policies is one.
type PolicyFinder interface {
	Find(ctx context.Context, now time.Time, domain string) (mtasts.Finding, error)
	// Doubt says that mail could not go because of a domain's policy.
	Doubt(domain string)
}

// A road is what is known of the way to a domain, whatever its host.
type road struct {
	domain    string // in A-labels; that of the smarthost, if there is one
	target    string // at the end of its aliases
	source    source // of its hosts' names
	transport *Transport
	sts       mtasts.Finding
}

// apart names what makes a road differ from others that lead to the same hosts.
func (r road) apart() string {
	if r.source == byProvenMX || r.transport != nil || r.sts.Policy.Mode != "" || r.sts.Err != nil {
		return r.domain
	}
	return ""
}

// survey finds out what is known of the way to a group's hosts.
func (a *attempt) survey(ctx context.Context, h *hop, domain string) error {
	if h.route.Host != "" {
		domain = h.route.Host // RFC 8461 §3.4
	}
	if strings.HasPrefix(domain, "[") {
		h.road.domain = domain
		h.road.transport = transportFor(*a.transports.Load(), domain)
		return nil // RFC 7672 §2.2: nothing is published of an address
	}
	name, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return err
	}
	h.road.domain = strings.ToLower(name)
	h.road.transport = transportFor(*a.transports.Load(), h.road.domain)
	asked := h.road.transport == nil && h.route.Security == Opportunistic || a.item.Envelope.RequireTLS
	if a.policies == nil || !asked {
		return nil
	}
	h.road.sts, err = a.policies.Find(ctx, time.Now(), h.road.domain)
	return err
}

// wish gives what the sender of the message wants of its way.
func (t transfer) wish() wish {
	switch {
	case t.mail.RequireTLS && t.mail.From.IsNull():
		return requireTLSIf
	case t.mail.RequireTLS:
		return requireTLS
	case t.anyTLS:
		return optionalTLS
	}
	return nothingSaid
}

// approach gives the addresses of a host, and how a message may travel there.
// Errors are *smtp.Refusal; trouble of the host is in the demand.
func (r *Relay) approach(ctx context.Context, h hop, host string, t transfer) ([]netip.Addr, demand, error) {
	f := roadFacts{
		host: host, domain: h.road.domain, target: h.road.target, source: h.road.source,
		security: h.route.Security, transport: h.road.transport, sts: h.road.sts, wish: t.wish(),
	}
	var addrs []netip.Addr
	var err error
	published := f.security == Opportunistic && (f.transport == nil || f.transport.Level == DANE)
	if published && !strings.HasPrefix(host, "[") {
		f.dane, err = dns.LookupDANE(ctx, r.resolver, host, r.dialer.at(netip.Addr{}, h.route).Port())
		if addrs = f.dane.Addrs; len(addrs) > 0 {
			f.daneErr, err = err, nil // it is about the TLSA records
		}
		err = noAddress(host, err)
	} else {
		addrs, err = addresses(ctx, r.resolver, host)
	}
	if err == nil {
		addrs, err = h.route.reachable(host, addrs)
	}
	if err != nil {
		return nil, demand{}, err
	}
	return addrs[:min(len(addrs), maxAddresses)], travel(f), nil
}

// noAddress puts trouble with a host's address in words; nil for none.
func noAddress(host string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dns.ErrNotFound):
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 4, 4}, Text: "the mail host " + host + " has no address", Err: err}
	}
	return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 4, 3}, Text: "cannot look up the address of the mail host " + host, Err: err}
}

// turnedAway notes that a host must not be called, and why.
func (r *Relay) turnedAway(h hop, host string, d demand, t transfer) answer {
	w := answer{err: d.refuse}
	t.noteCall(time.Now(), remote(host, netip.AddrPort{}), nil, []answer{w})
	if d.refuse.result != tlsrpt.Success {
		r.report(h, d, tlsrpt.Session{Result: d.refuse.result, Reason: d.refuse.Text, MX: host})
	}
	r.doubt(h, d)
	return w
}

// doubt has an MTA-STS policy looked up again that has kept mail back.
func (r *Relay) doubt(h hop, d demand) {
	if d.policy.Type == tlsrpt.STS && r.policies != nil {
		r.policies.Doubt(h.road.domain)
	}
}

// report tells of one attempt to reach a host, to each of the domains whose mail
// was to go there.
func (r *Relay) report(h hop, d demand, s tlsrpt.Session) {
	if r.sessions == nil {
		return
	}
	domains := h.domains
	if h.route.Host != "" || len(domains) == 0 {
		domains = []string{h.road.domain}
	}
	for i, domain := range domains {
		if i > 0 || domain != h.road.domain {
			name, err := idna.Lookup.ToASCII(domain)
			if err != nil {
				continue
			}
			domain = strings.ToLower(name)
		}
		if strings.HasPrefix(domain, "[") {
			continue
		}
		s.Domain, s.Policy = domain, d.policy
		if s.Policy.Type == tlsrpt.NoPolicyFound {
			s.Policy.Domain = domain
		}
		r.sessions(s)
		for _, b := range d.beside {
			other := s
			other.Policy, other.Result, other.Reason = b.policy, b.result, b.reason
			r.sessions(other)
		}
	}
}

// met tells of an attempt by what came of it: how TLS failed, if err says so, or
// how the host has proven itself. What has not to do with TLS is not told.
// RFC 8460 §4.3.4
func (r *Relay) met(h hop, d demand, host string, from net.Addr, at netip.AddrPort, l *link, err error) {
	s := tlsrpt.Session{MX: host, ReceivingIP: at.Addr()}
	if tcp, ok := from.(*net.TCPAddr); ok {
		s.SendingIP = tcp.AddrPort().Addr().Unmap()
	}
	var u *unmet
	unsaid := d.policy.Type == tlsrpt.NoPolicyFound // more than TLS was wanted by us alone
	switch {
	case errors.As(err, &u):
		r.doubt(h, d)
		if s.Result = u.result; !unsaid || s.Result == tlsrpt.STARTTLSNotSupported || s.Result == tlsrpt.ValidationFailure {
			s.Reason = u.Text
			break
		}
		s.Result = tlsrpt.Success
	case err != nil:
		return
	case l.fell != nil:
		s.Result, s.Reason = tlsrpt.ValidationFailure, l.fell.Error()
	case l.TLS() == nil:
		s.Result, s.Reason = tlsrpt.STARTTLSNotSupported, host+" offers no TLS"
	case !unsaid && l.found.err != nil:
		s.Result, s.Reason = l.found.result, l.found.err.Error()
	}
	if d.must == inClear {
		return // our own choice
	}
	if l != nil {
		s.Helo = helo(l.Greeting())
	}
	r.report(h, d, s)
}

// helo gives the name by which a host greets.
func helo(greeting string) string {
	name, _, _ := strings.Cut(greeting, " ")
	if _, err := mail.ParseDomain(name); err != nil {
		return ""
	}
	return name
}

// isUnmet tells whether an error is about what was demanded of a host, and not
// about whether it can be reached.
func isUnmet(err error) bool {
	var u *unmet
	return errors.As(err, &u)
}
