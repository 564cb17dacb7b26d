package spf

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// What macros stand for in one check. RFC 7208 §7

// errNotASCII: a mechanism whose macros stand for a local part beyond US-ASCII
// never matches. RFC 8616 §4
var errNotASCII = errors.New("the local part is not US-ASCII")

// target expands a domain-spec for a lookup. RFC 7208 §7.3
func (c *check) target(ctx context.Context, m macroString, domain string) (string, error) {
	name, err := m.expand(func(letter byte) (string, error) {
		v := c.value(ctx, letter, domain)
		if (letter == 's' || letter == 'l') && !ascii(c.local) {
			return "", errNotASCII
		}
		return v, nil
	})
	name = strings.TrimSuffix(name, ".")
	for len(name) > 253 { // RFC 7208 §7.3: labels at the left are dropped
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	return name, err
}

// value gives what a macro letter stands for. RFC 7208 §7.2
func (c *check) value(ctx context.Context, letter byte, domain string) string {
	switch letter {
	case 's':
		return c.local + "@" + c.sender
	case 'l':
		return c.local
	case 'o':
		return c.sender
	case 'd':
		return domain
	case 'i':
		return dotted(c.query.IP)
	case 'p':
		return c.name(ctx, domain)
	case 'v':
		if c.query.IP.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return c.query.Helo
	case 'c':
		return c.query.IP.String()
	case 'r':
		if c.query.Receiver == "" {
			return "unknown"
		}
		return c.query.Receiver
	}
	return strconv.FormatInt(c.query.Now.Unix(), 10) // t
}

// name is the macro p: the domain itself if the address has that name, else one
// below it, else any, else "unknown". RFC 7208 §7.3
func (c *check) name(ctx context.Context, domain string) string {
	best := "unknown"
	for _, name := range c.names(ctx) {
		switch {
		case name == domain:
			return name
		case within(name, domain) && !within(best, domain), best == "unknown":
			best = name
		}
	}
	return best
}

// dotted writes an address for the macro i: IPv6 as its nibbles.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 64)
	for _, octet := range ip.As16() {
		b = append(b, hex[octet>>4], '.', hex[octet&15], '.')
	}
	return string(b[:len(b)-1])
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// maxExplanation bounds a stranger's text that goes into a reply.
const maxExplanation = 400

// explanation fetches what a domain says to those who fail; "" if it says
// nothing that can be understood. RFC 7208 §6.2
func (c *check) explanation(ctx context.Context, m macroString, domain string) string {
	name, err := c.target(ctx, m, domain)
	if err != nil || !lookable(name) {
		return ""
	}
	texts, _, err := c.resolver.LookupTXT(ctx, name)
	if err != nil || len(texts) != 1 {
		return ""
	}
	text, err := parseMacros(texts[0], true)
	if err != nil {
		return ""
	}
	s, err := text.expand(func(letter byte) (string, error) { return c.value(ctx, letter, domain), nil })
	if err != nil || len(s) > maxExplanation {
		return ""
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' { // RFC 7208 §6.2: US-ASCII; and nothing that breaks a line
			return ""
		}
	}
	return s
}
