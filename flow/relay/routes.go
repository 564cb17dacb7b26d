package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"waxwing/mail"
)

// A Security says how a connection to a host is protected.
type Security int

const (
	// Opportunistic uses TLS where it is offered, whatever the certificate
	// (RFC 7435 §3), unless a Transport, or what the host's domain has published,
	// demands more.
	Opportunistic Security = iota
	// Encrypted sends nothing without TLS, whatever the certificate.
	Encrypted
	// Verified sends nothing without TLS and a certificate for the host's
	// name from an authority that is trusted.
	Verified
)

// A Route says that some mail goes another way than DNS and our own directory
// say: into another store, by LMTP; over a smarthost; or from another address
// of ours.
type Route struct {
	// Domain is the recipients' domain in lower case, ".example.org" for all
	// below example.org, or "*" for all that are ours; empty for any that is
	// not.
	Domain string
	// Recipient, Sender and SenderDomain narrow it further: an address, an
	// address of the envelope, a domain as above. Empty for any.
	Recipient, Sender, SenderDomain string

	// Network and Address are where a store listens: "tcp" and host:port, or
	// "unix" and a path. Both are empty for what goes by SMTP.
	Network, Address string

	// Host is the smarthost's name or address literal, and Port where it
	// listens. MX says that Host is a domain whose mail exchangers are meant,
	// and Implicit that TLS comes first, as on port 465. An empty Host is the
	// way that DNS says.
	Host     string
	Port     int
	MX       bool
	Implicit bool

	Security Security
	// User and Password are what we log in with; only under TLS.
	User, Password string
	// Sources are the addresses that connections come from, one of a family at
	// most. With one family alone, only that is used.
	Sources []netip.Addr
	// Hello is what we call ourselves; empty for our name.
	Hello string

	name string // tells routes apart in places, pools and memories
}

// ParseRoute reads where a route leads: "lmtp:host:port" and "unix:/path" to a
// store, "smtp:host:port" and "smtps:host:port" to a smarthost, "mx:domain" to
// the mail exchangers of a domain, or "direct" as DNS says. The port of a
// smarthost may be left out: 25, or 465 with smtps.
func ParseRoute(domain, to string) (Route, error) {
	kind, at, _ := strings.Cut(to, ":")
	r := Route{Domain: strings.ToLower(domain), name: to}
	switch kind {
	case "lmtp":
		r.Network, r.Address = "tcp", at
		if _, port, err := net.SplitHostPort(at); err != nil || port == "" || port == "25" {
			return Route{}, fmt.Errorf("%q is not lmtp:host:port, with another port than 25", to) // RFC 2033 §5
		}
	case "unix":
		r.Network, r.Address = "unix", at
		if !strings.HasPrefix(at, "/") {
			return Route{}, fmt.Errorf("%q is not unix: and an absolute path", to)
		}
	case "smtp", "smtps":
		r.Implicit = kind == "smtps"
		if r.Implicit {
			r.Security = Verified
		}
		if err := r.setHost(at); err != nil {
			return Route{}, fmt.Errorf("%q is not %s:host or %s:host:port: %w", to, kind, kind, err)
		}
	case "mx":
		r.MX, r.Host = true, strings.ToLower(at)
		if _, err := mail.ParseDomain(at); err != nil || strings.HasPrefix(at, "[") {
			return Route{}, fmt.Errorf("%q is not mx: and a domain", to)
		}
	case "direct":
		if to != "direct" {
			return Route{}, fmt.Errorf("%q: write just \"direct\"", to)
		}
	default:
		return Route{}, fmt.Errorf("%q is none of lmtp:host:port, unix:/path, smtp:host:port, smtps:host:port, mx:domain and direct", to)
	}
	return r, nil
}

// setHost reads a host, which may be an address, and its port.
func (r *Route) setHost(at string) error {
	r.Port = 25
	if r.Implicit {
		r.Port = 465
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		host = at
	} else if r.Port, err = strconv.Atoi(port); err != nil || r.Port < 1 || r.Port > 65535 {
		return errors.New("the port is not between 1 and 65535")
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		r.Host = mail.FormatLiteral(ip)
		return nil
	}
	r.Host, err = mail.ParseDomain(host)
	return err
}

// isStore tells whether mail is brought by LMTP.
func (r Route) isStore() bool { return r.Network != "" }

// String gives the route's end as it is configured.
func (r Route) String() string {
	switch {
	case r.Network == "tcp":
		return "lmtp:" + r.Address
	case r.isStore():
		return r.Network + ":" + r.Address
	}
	to, _, _ := strings.Cut(r.name, "#")
	return to
}

// Routes are looked up by sender and recipient: the first that fits, but those
// for all domains that are ours behind the others.
type Routes []Route

// named gives the routes with what tells them apart, and from those that were
// set before.
func (rs Routes) named(set int64) Routes {
	named := append(Routes(nil), rs...)
	for i := range named {
		if !named[i].isStore() {
			named[i].name = fmt.Sprintf("%s#%d.%d", named[i].name, set, i+1)
		}
	}
	return named
}

// choose gives the route for a recipient, whose domain may be one of ours.
func (rs Routes) choose(from, to mail.Address, ours bool) (Route, bool) {
	if r, ok := rs.specific(from, to); ok && (r.Domain != "" || !ours) {
		return r, true
	}
	for _, r := range rs {
		if r.fitsPeople(from, to) && (r.Domain == "*" && ours || r.Domain == "" && !ours || r.Domain != "" && fits(r.Domain, to.Domain)) {
			return r, true
		}
	}
	return Route{}, false
}

// specific gives the first route that fits whether the domain is ours or not.
func (rs Routes) specific(from, to mail.Address) (Route, bool) {
	for _, r := range rs {
		if r.Domain != "*" && r.fitsPeople(from, to) && (r.Domain == "" || fits(r.Domain, to.Domain)) {
			return r, true
		}
	}
	return Route{}, false
}

func (r Route) fitsPeople(from, to mail.Address) bool {
	return (r.Recipient == "" || strings.EqualFold(r.Recipient, to.String())) &&
		(r.Sender == "" || strings.EqualFold(r.Sender, from.String())) &&
		(r.SenderDomain == "" || fits(r.SenderDomain, from.Domain))
}

// Lead tells whether the mail of a domain is in another store. It fits
// deliver.Options.Elsewhere. A route to a smarthost does not lead to where mail
// may be left: that would make us relay for strangers.
func (rs Routes) Lead(domain string, ours bool) bool {
	for _, r := range rs {
		if r.isStore() && (r.Domain == "*" && ours || r.Domain != "" && fits(r.Domain, domain)) {
			return true
		}
	}
	return false
}
