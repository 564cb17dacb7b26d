package recursor

import (
	"net/netip"
	"strconv"
	"strings"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// special are the names that the public DNS has nothing to say of: they are
// not asked for, unless a server was given for them. RFC 6303 §4, RFC 6761 §6,
// RFC 6762 §22.1, RFC 7686, RFC 8375, RFC 9476
var special = map[string]bool{
	"localhost.": true, "invalid.": true, "local.": true, "onion.": true, "alt.": true, "home.arpa.": true, "internal.": true,

	"10.in-addr.arpa.": true, "168.192.in-addr.arpa.": true, "0.in-addr.arpa.": true, "127.in-addr.arpa.": true,
	"254.169.in-addr.arpa.": true, "2.0.192.in-addr.arpa.": true, "100.51.198.in-addr.arpa.": true,
	"113.0.203.in-addr.arpa.": true, "255.255.255.255.in-addr.arpa.": true,
	"16.172.in-addr.arpa.": true, "17.172.in-addr.arpa.": true, "18.172.in-addr.arpa.": true, "19.172.in-addr.arpa.": true,
	"20.172.in-addr.arpa.": true, "21.172.in-addr.arpa.": true, "22.172.in-addr.arpa.": true, "23.172.in-addr.arpa.": true,
	"24.172.in-addr.arpa.": true, "25.172.in-addr.arpa.": true, "26.172.in-addr.arpa.": true, "27.172.in-addr.arpa.": true,
	"28.172.in-addr.arpa.": true, "29.172.in-addr.arpa.": true, "30.172.in-addr.arpa.": true, "31.172.in-addr.arpa.": true,

	"d.f.ip6.arpa.": true, "8.e.f.ip6.arpa.": true, "9.e.f.ip6.arpa.": true, "a.e.f.ip6.arpa.": true, "b.e.f.ip6.arpa.": true,
	"8.b.d.0.1.0.0.2.ip6.arpa.":            true,
	strings.Repeat("0.", 32) + "ip6.arpa.": true, "1." + strings.Repeat("0.", 31) + "ip6.arpa.": true,
}

// isSpecial tells whether a name is one of these, or of the addresses that
// networks share behind one of their own (100.64.0.0/10). RFC 7793 §2
func isSpecial(name string) bool {
	if second, ok := strings.CutSuffix(name, ".100.in-addr.arpa."); ok {
		n, err := strconv.Atoi(second)
		return err == nil && 64 <= n && n <= 127
	}
	return special[name]
}

// local answers for special names, nil for all others.
func (r *Resolver) local(q question) *entry {
	for at := q.name; at != "."; at = parentOf(at) {
		if r.forwards[at] != nil {
			return nil
		}
		if !isSpecial(at) {
			continue
		}
		if r.forwards["."] != nil && at != "localhost." {
			return nil // who forwards everything may have such names
		}
		a := &dns.Answer{Name: q.name, NoName: true, Detail: "the name is not one of the public DNS"}
		a.Finding = dns.Finding{Security: dns.Insecure, Code: wire.ExtendedErrorCodeSynthesized, Reason: at + " is not part of the public DNS"}
		a.Asked = a.Finding.Security
		if at == "localhost." { // RFC 6761 §6.3
			a.Records, a.NoName, a.Detail = loopback(q), false, "no records"
		}
		return &entry{answer: a}
	}
	return nil
}

func loopback(q question) []wire.RR {
	head := wire.RR_Header{Name: q.name, Rrtype: q.qtype, Class: wire.ClassINET, Ttl: 3600}
	switch q.qtype {
	case wire.TypeA:
		return []wire.RR{&wire.A{Hdr: head, A: netip.AddrFrom4([4]byte{127, 0, 0, 1}).AsSlice()}}
	case wire.TypeAAAA:
		return []wire.RR{&wire.AAAA{Hdr: head, AAAA: netip.IPv6Loopback().AsSlice()}}
	}
	return nil
}
