package config

import (
	"fmt"
	"net/netip"
)

// Networks reads a list of addresses and networks.
func Networks(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network such as \"10.0.0.0/8\"", s)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		all = append(all, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked())
	}
	return all, nil
}
