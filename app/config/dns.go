package config

import "net/netip"

// dns checks how names are looked up.
func (d *decoder) dns(c DNS) {
	if c.Mode != ResolveDefault {
		d.oneOf("dns.mode", c.Mode, ResolveRecursive, ResolveForward, ResolveStub)
	}
	if c.Resolver != "" {
		if _, err := netip.ParseAddrPort(c.Resolver); err != nil {
			d.invalid("dns.resolver", "must be an address with a port, such as \"127.0.0.1:53\"")
		}
		if c.Mode == ResolveRecursive {
			d.invalid("dns.resolver", "is not used in the mode \"recursive\"; leave one of them out")
		}
	}
	if c.Mode == ResolveStub && c.TrustAnchors != "" {
		d.invalid("dns.trust_anchors", "are not used in the mode \"stub\", which proves nothing")
	}
	if c.Stale < 0 {
		d.invalid("dns.stale", "must not be negative")
	}
	if c.Cache < 1<<20 {
		d.invalid("dns.cache", "must be at least 1MiB")
	}
}

// How gives the mode that is meant.
func (c DNS) How() string {
	switch {
	case c.Mode != ResolveDefault:
		return c.Mode
	case c.Resolver != "":
		return ResolveForward
	}
	return ResolveRecursive
}
