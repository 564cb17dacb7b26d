package smtp

import (
	"net/netip"
	"strconv"
	"strings"
)

// XCLIENTAttributes are what XCLIENT may tell, as EHLO lists them.
const XCLIENTAttributes = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

// Values that say that something is not known. Postfix, XCLIENT_README
const (
	unavailable     = "[UNAVAILABLE]"
	tempUnavailable = "[TEMPUNAVAIL]"
)

// parseXCLIENT reads attribute=value pairs, the values in xtext.
func parseXCLIENT(args string) (Command, error) {
	var x Xclient
	fields := strings.Fields(args)
	if len(fields) == 0 {
		return nil, argumentError("Syntax: XCLIENT attribute=value")
	}
	seen := map[string]bool{}
	for _, field := range fields {
		key, encoded, ok := strings.Cut(field, "=")
		key = strings.ToUpper(key)
		value, err := DecodeXtext(encoded)
		if !ok || err != nil || seen[key] || len(value) > 255 {
			return nil, argumentError("Bad XCLIENT attribute")
		}
		seen[key] = true
		if !x.set(key, value) {
			return nil, argumentError("Bad XCLIENT attribute or value: " + clipWord(key))
		}
	}
	return x, nil
}

func clipWord(s string) string { return s[:min(len(s), 20)] }

// set takes one attribute in.
func (x *Xclient) set(key, value string) (ok bool) {
	known := !strings.EqualFold(value, unavailable) && !strings.EqualFold(value, tempUnavailable)
	switch key {
	case "NAME":
		x.Name, ok = word(value, known)
	case "HELO":
		x.Helo, ok = word(value, known)
	case "LOGIN":
		x.Login, ok = word(value, known)
	case "ADDR":
		x.Addr, ok = address(value, known)
	case "DESTADDR":
		x.DestAddr, ok = address(value, known)
	case "PORT":
		x.Port, ok = port(value, known)
	case "DESTPORT":
		x.DestPort, ok = port(value, known)
	case "PROTO":
		x.Proto = strings.ToUpper(value)
		ok = x.Proto == "SMTP" || x.Proto == "ESMTP"
	}
	return ok
}

func word(value string, known bool) (*string, bool) {
	if !known {
		value = ""
	}
	return &value, value != "" || !known
}

// address reads an IPv4 address, or an IPv6 address after "IPV6:".
func address(value string, known bool) (*netip.Addr, bool) {
	if !known {
		return &netip.Addr{}, true
	}
	text, six := cutFold(value, "IPV6:")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || six != a.Is6() {
		return nil, false
	}
	a = a.Unmap()
	return &a, true
}

func port(value string, known bool) (*uint16, bool) {
	if !known {
		return new(uint16), true
	}
	n, err := strconv.ParseUint(value, 10, 16)
	p := uint16(n)
	return &p, err == nil
}
