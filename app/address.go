package app

import (
	"net"
	"net/netip"
)

// publicAddresses are this machine's addresses that the world can reach, as
// far as it knows itself: none behind address translation.
func publicAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var public []netip.Addr
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		if ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip) {
			public = append(public, ip)
		}
	}
	return public
}

// sharedSpace is for carriers' address translation. RFC 6598 §7
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
