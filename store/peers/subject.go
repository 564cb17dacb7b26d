package peers

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"waxwing/mail"
	"waxwing/store/keys"
)

// A Subject is whom something is counted for: a network or an account.
type Subject struct {
	network netip.Prefix
	account mail.AccountID
}

// OfAddress gives the subject for a host: an IPv4 address or an IPv6 /64,
// since a host can choose among all of that.
func OfAddress(a netip.Addr) Subject { return of(a, 32) }

// OfNeighbourhood gives the subject for hosts that work together, as the
// machines of a large sender do: an IPv4 /24 or an IPv6 /64.
func OfNeighbourhood(a netip.Addr) Subject { return of(a, 24) }

func of(a netip.Addr, bits int) Subject {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		bits = 64
	}
	network, _ := a.Prefix(bits) // fails for wrong numbers of bits only
	return Subject{network: network}
}

// OfAccount gives the subject for an account of ours.
func OfAccount(id mail.AccountID) Subject { return Subject{account: id} }

// Network gives the network; the zero Prefix for an account.
func (s Subject) Network() netip.Prefix { return s.network }

// Account gives the account, zero for a network.
func (s Subject) Account() mail.AccountID { return s.account }

// String writes a network as people do: a host without its bits.
func (s Subject) String() string {
	if s.account != 0 {
		return s.account.String()
	}
	return Name(s.network)
}

// Name writes a network, a single address without its bits.
func Name(p netip.Prefix) string {
	if p.IsValid() && p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// key gives the subject's row.
func (s Subject) key() []byte {
	if s.account != 0 {
		return binary.BigEndian.AppendUint64([]byte{keys.PeerCounts, 'a'}, uint64(s.account))
	}
	address := s.network.Addr().As16()
	bits := s.network.Bits()
	if s.network.Addr().Is4() {
		bits += 96
	}
	return append(append([]byte{keys.PeerCounts, 'n'}, address[:]...), byte(bits))
}

// subjectOf reads a key; false for one that is none.
func subjectOf(key []byte) (Subject, bool) {
	switch {
	case len(key) == 2+8 && key[1] == 'a':
		id := mail.AccountID(binary.BigEndian.Uint64(key[2:]))
		return Subject{account: id}, id != 0
	case len(key) == 2+17 && key[1] == 'n':
		a, bits := netip.AddrFrom16([16]byte(key[2:18])), int(key[18])
		if a.Is4In6() && bits >= 96 {
			a, bits = a.Unmap(), bits-96
		}
		network, err := a.Prefix(bits)
		return Subject{network: network}, err == nil
	}
	return Subject{}, false
}

// Canonical gives the one way to write what a rule is about: a network, or a
// domain, which stands for itself and all that is below it.
func Canonical(name string) (network netip.Prefix, domain string, ok bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if p, err := netip.ParsePrefix(name); err == nil {
		if p.Addr().Is4In6() {
			return netip.Prefix{}, "", false
		}
		return p.Masked(), "", true
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), "", true
	}
	name = strings.TrimPrefix(strings.TrimSuffix(name, "."), "*.")
	if !isDomain(name) {
		return netip.Prefix{}, "", false
	}
	return netip.Prefix{}, name, true
}

// isDomain tells whether a name has labels of letters, digits, hyphens and
// underscores, or of UTF-8.
func isDomain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	letter := false
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case c >= 'a' && c <= 'z', c >= 0x80:
				letter = true
			case c >= '0' && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return letter
}
