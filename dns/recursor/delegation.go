package recursor

import (
	"net/netip"
	"slices"
	"time"

	wire "github.com/miekg/dns"
)

const (
	maxServers = 16 // of a zone
	maxGlue    = 6  // addresses of a server
)

// A delegation says who answers for a zone. It is not changed once it is in
// the cache.
type delegation struct {
	zone      string
	servers   []nameserver
	recursive bool // they answer for everything: forwarders
	ttl       time.Duration
}

// A nameserver is one of them. Without addresses its name is looked up.
type nameserver struct {
	name  string
	addrs []netip.AddrPort
}

// addGlue takes the addresses that came with a referral from the servers of a
// zone. RFC 9471
func (d *delegation) addGlue(extra []wire.RR, from string) {
	for _, rr := range extra {
		addr, ok := addrOf(rr)
		if !ok || !wire.IsSubDomain(from, rr.Header().Name) {
			continue
		}
		owner := wire.CanonicalName(rr.Header().Name)
		for i := range d.servers {
			s := &d.servers[i]
			at := netip.AddrPortFrom(addr, 0)
			if s.name == owner && len(s.addrs) < maxGlue && !slices.Contains(s.addrs, at) {
				s.addrs = append(s.addrs, at)
			}
		}
	}
}

// addrOf reads an address record.
func addrOf(rr wire.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *wire.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		return addr, ok && usable(addr)
	case *wire.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return addr, ok && usable(addr)
	}
	return netip.Addr{}, false
}

// usable leaves out addresses that cannot be a server's.
func usable(addr netip.Addr) bool {
	return !addr.IsUnspecified() && !addr.IsMulticast() && !addr.Is4In6() && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// withPort gives the addresses the port that servers have.
func (d *delegation) withPort(port uint16) {
	for i := range d.servers {
		for j, a := range d.servers[i].addrs {
			d.servers[i].addrs[j] = netip.AddrPortFrom(a.Addr(), port)
		}
	}
}

// size is what a delegation takes in the cache.
func (d *delegation) size() int {
	n := 64 + len(d.zone)
	for _, s := range d.servers {
		n += 40 + len(s.name) + 32*len(s.addrs)
	}
	return n
}

// fixed makes a delegation of given addresses.
func fixed(zone string, addrs []netip.AddrPort, recursive bool) *delegation {
	d := &delegation{zone: zone, recursive: recursive, ttl: maxZoneTTL}
	for _, a := range addrs {
		d.servers = append(d.servers, nameserver{name: a.String(), addrs: []netip.AddrPort{a}})
	}
	return d
}
