package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Limits of RFC 5321 §4.5.3.1.
const (
	// RFC 5321 asks for 64 at least, and for no limit where that is possible:
	// forwarders and lists put whole addresses in here.
	maxLocalPart = 128
	maxDomain    = 255
	maxPath      = 254 // 256 with the angle brackets, RFC 5321 §4.5.3.1.3
)

// An Address is a mailbox as SMTP knows it: local-part@domain. RFC 5321 §4.1.2
//
// Local is kept without quoting and with its case. Domain is kept in lower
// case; it is a host name (U-labels stay as they were written, RFC 6531 §3.3)
// or an address literal in brackets, "[192.0.2.1]" or "[IPv6:2001:db8::1]".
// The zero Address is the null reverse-path "<>". The special case of a bare
// "postmaster" (RFC 5321 §4.1.1.3) has an empty Domain. Addresses compare
// with ==.
type Address struct {
	Local  string
	Domain string
}

// IsNull tells whether this is the null reverse-path. RFC 5321 §4.5.5
func (a Address) IsNull() bool { return a == Address{} }

// String gives the address as SMTP writes it between angle brackets, the local
// part quoted where it must be. The null address is the empty string.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	local := QuoteLocal(a.Local)
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Append writes the address as String gives it.
func (a Address) Append(dst []byte) []byte {
	if a.IsNull() {
		return dst
	}
	dst = append(dst, QuoteLocal(a.Local)...)
	if a.Domain == "" {
		return dst
	}
	return append(append(dst, '@'), a.Domain...)
}

// IsASCII tells whether the address can travel without SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// Literal gives the IP address of an address literal. RFC 5321 §4.1.3
func (a Address) Literal() (netip.Addr, bool) {
	ip, err := ParseLiteral(a.Domain)
	return ip, err == nil
}

// QuoteLocal gives a local part as it must be written: as it is when it is a
// Dot-string, else as a Quoted-string. RFC 5321 §4.1.2
func QuoteLocal(local string) string {
	if isDotString(local) {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(local); i++ {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// ParseAddress reads a Mailbox of RFC 5321 §4.1.2, with UTF-8 as RFC 6531 §3.3
// extends it: local-part "@" domain or address literal, nothing around it. The
// domain is lower-cased. It refuses what is longer than RFC 5321 §4.5.3.1
// allows, and control characters everywhere.
func ParseAddress(s string) (Address, error) {
	if !utf8.ValidString(s) {
		return Address{}, errors.New("address is not valid UTF-8")
	}
	local, rest, err := ScanLocal(s)
	if err != nil {
		return Address{}, err
	}
	if !strings.HasPrefix(rest, "@") {
		return Address{}, errors.New("address needs an @ and a domain")
	}
	domain, err := ParseDomain(rest[1:])
	if err != nil {
		return Address{}, err
	}
	a := Address{Local: local, Domain: domain}
	if len(QuoteLocal(local))+len("@")+len(domain) > maxPath {
		return Address{}, fmt.Errorf("address is longer than %d octets", maxPath)
	}
	return a, nil
}

// ScanLocal reads a Local-part at the start of s and gives it unquoted,
// together with what follows it.
func ScanLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		local, rest, err = scanQuoted(s)
	} else {
		n := 0
		for n < len(s) && (isAtext(s[n]) || s[n] == '.') {
			n++
		}
		local, rest = s[:n], s[n:]
		if !isDotString(local) {
			err = errors.New("local part is malformed")
		}
	}
	switch {
	case err != nil:
		return "", "", err
	case len(local) > maxLocalPart:
		return "", "", fmt.Errorf("local part is longer than %d octets", maxLocalPart)
	}
	return local, rest, nil
}

// scanQuoted reads a Quoted-string. RFC 5321 §4.1.2
func scanQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			if b.Len() == 0 {
				return "", "", errors.New("local part is empty")
			}
			return b.String(), s[i+1:], nil
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", errors.New("bad escape in local part")
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", "", errors.New("control character in local part")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("unterminated quote in local part")
}

// ParseDomain reads a Domain or address-literal of RFC 5321 §4.1.2 and gives
// it in lower case. A trailing dot is not allowed there.
func ParseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		ip, err := ParseLiteral(s)
		if err != nil {
			return "", err
		}
		return FormatLiteral(ip), nil
	}
	if s == "" {
		return "", errors.New("domain is empty")
	}
	if len(s) > maxDomain {
		return "", fmt.Errorf("domain is longer than %d octets", maxDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("domain %q is malformed", s)
		}
		if len(label) > 63 && isASCII(label) {
			return "", fmt.Errorf("label %q is longer than 63 octets", label)
		}
		for i := 0; i < len(label); i++ {
			// QUIRK: underscores are no host names, but mail from them exists.
			if c := label[i]; c < utf8.RuneSelf && !isAlnum(c) && c != '-' && c != '_' {
				return "", fmt.Errorf("domain has a bad character %q", c)
			}
		}
	}
	lower := strings.ToLower(s)
	// Lower-casing may change how many octets UTF-8 needs.
	if !utf8.ValidString(lower) || len(lower) > maxDomain {
		return "", errors.New("domain is malformed")
	}
	return lower, nil
}

// ParseLiteral reads an address literal with its brackets. RFC 5321 §4.1.3
func ParseLiteral(s string) (netip.Addr, error) {
	inner, ok := strings.CutPrefix(s, "[")
	if ok {
		inner, ok = strings.CutSuffix(inner, "]")
	}
	if !ok {
		return netip.Addr{}, errors.New("not an address literal")
	}
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		ip, err := netip.ParseAddr(inner[5:])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return netip.Addr{}, errors.New("bad IPv6 address literal")
		}
		return ip, nil
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || !ip.Is4() {
		return netip.Addr{}, errors.New("bad address literal")
	}
	return ip, nil
}

// FormatLiteral gives the address literal of ip. RFC 5321 §4.1.3
func FormatLiteral(ip netip.Addr) string {
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.WithZone("").String() + "]"
}

func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isAtext(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

// isAtext holds for atext of RFC 5322 §3.2.3 and for all UTF-8, RFC 6531 §3.3.
func isAtext(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return isAlnum(c) || c >= utf8.RuneSelf
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
