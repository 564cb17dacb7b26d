package relay

import (
	"fmt"
	"net"
	"strings"
)

// A Route says that the mail of a domain goes to another store, by LMTP.
type Route struct {
	// Domain is the domain in lower case, or "*" for all that are ours.
	Domain string
	// Network and Address are where the store listens: "tcp" and host:port,
	// or "unix" and a path.
	Network, Address string
}

// ParseRoute reads where a store listens: "lmtp:host:port" or "unix:/path".
func ParseRoute(domain, to string) (Route, error) {
	kind, at, _ := strings.Cut(to, ":")
	r := Route{Domain: strings.ToLower(domain), Address: at}
	switch kind {
	case "lmtp":
		r.Network = "tcp"
		if _, port, err := net.SplitHostPort(at); err != nil || port == "" || port == "25" {
			return Route{}, fmt.Errorf("%q is not lmtp:host:port, with another port than 25", to) // RFC 2033 §5
		}
	case "unix":
		r.Network = "unix"
		if !strings.HasPrefix(at, "/") {
			return Route{}, fmt.Errorf("%q is not unix: and an absolute path", to)
		}
	default:
		return Route{}, fmt.Errorf("%q is neither lmtp:host:port nor unix:/path", to)
	}
	return r, nil
}

// String gives the route's end as it is configured.
func (r Route) String() string {
	if r.Network == "tcp" {
		return "lmtp:" + r.Address
	}
	return r.Network + ":" + r.Address
}

// Routes are looked up by domain.
type Routes []Route

// Find gives the route of a domain, which may be one of ours.
func (rs Routes) Find(domain string, ours bool) (Route, bool) {
	for _, r := range rs {
		if strings.EqualFold(r.Domain, domain) {
			return r, true
		}
	}
	for _, r := range rs {
		if r.Domain == "*" && ours {
			return r, true
		}
	}
	return Route{}, false
}

// Lead tells whether there is a route for a domain. It fits
// deliver.Options.Elsewhere.
func (rs Routes) Lead(domain string, ours bool) bool {
	_, ok := rs.Find(domain, ours)
	return ok
}
