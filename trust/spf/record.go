package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A record is a domain's policy. RFC 7208 §12
type record struct {
	directives []directive
	redirect   macroString // nil without
	exp        macroString // nil without
}

// A directive is a mechanism and what follows when it matches.
type directive struct {
	result Result
	kind   kind
	domain macroString // nil: the domain whose record this is
	prefix netip.Prefix
	bits4  int // how much of an address counts, for a and mx
	bits6  int
	text   string // as it was written
}

// A kind is one of the mechanisms.
type kind uint8

const (
	all kind = iota
	include
	a
	mx
	ptr
	ip4
	ip6
	exists
)

var kinds = map[string]kind{
	"all": all, "include": include, "a": a, "mx": mx, "ptr": ptr, "ip4": ip4, "ip6": ip6, "exists": exists,
}

// qualifiers say what a match means. RFC 7208 §4.6.2
var qualifiers = map[byte]Result{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}

// isRecord reports whether a TXT record is an SPF record. RFC 7208 §4.5
func isRecord(txt string) bool {
	const version = "v=spf1"
	if len(txt) < len(version) || !strings.EqualFold(txt[:len(version)], version) {
		return false
	}
	return len(txt) == len(version) || txt[len(version)] == ' '
}

// parse reads a record whole: a syntax error anywhere is an error of all of it.
// RFC 7208 §4.6
func parse(txt string) (record, error) {
	var r record
	for term := range strings.SplitSeq(txt[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		for i := range len(term) {
			if term[i] < 0x21 || term[i] > 0x7e {
				return r, fmt.Errorf("%q has an octet that is not printable US-ASCII", term)
			}
		}
		var err error
		if name, value, ok := modifier(term); ok {
			err = r.modify(name, value)
		} else {
			var d directive
			d, err = parseDirective(term)
			r.directives = append(r.directives, d)
		}
		if err != nil {
			return r, fmt.Errorf("%q: %w", term, err)
		}
	}
	return r, nil
}

// modifier takes a term apart at its equals sign, if what stands before that is
// a name. RFC 7208 §4.6.1
func modifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !isAlpha(name[0]) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return name, value, true
}

// modify takes up a modifier. RFC 7208 §6
func (r *record) modify(name, value string) error {
	var to *macroString
	switch strings.ToLower(name) {
	case "redirect":
		to = &r.redirect
	case "exp":
		to = &r.exp
	default:
		_, err := parseMacros(value, false) // unknown ones are ignored, if they are well formed
		return err
	}
	if *to != nil {
		return errors.New("stands there twice")
	}
	var err error
	*to, err = parseDomainSpec(value)
	return err
}

// parseDirective reads a mechanism. RFC 7208 §5
func parseDirective(term string) (directive, error) {
	d := directive{result: Pass, text: term, bits4: 32, bits6: 128}
	if q, ok := qualifiers[term[0]]; ok {
		d.result, term = q, term[1:]
	}
	end := strings.IndexAny(term, ":/")
	name, rest := term, ""
	if end >= 0 {
		name, rest = term[:end], term[end:]
	}
	var known bool
	if d.kind, known = kinds[strings.ToLower(name)]; !known {
		return d, errors.New("is no mechanism")
	}
	var err error
	switch d.kind {
	case all:
		if rest != "" {
			err = errors.New("takes nothing")
		}
	case ip4, ip6:
		d.prefix, err = parseNetwork(d.kind, rest)
	case include, exists:
		if !strings.HasPrefix(rest, ":") {
			return d, errors.New("lacks a domain")
		}
		d.domain, err = parseDomainSpec(rest[1:])
	case ptr:
		if rest != "" {
			if rest[0] != ':' {
				return d, errors.New("takes no prefix length")
			}
			d.domain, err = parseDomainSpec(rest[1:])
		}
	case a, mx:
		rest, err = d.cutPrefixLengths(rest)
		if err == nil && rest != "" {
			d.domain, err = parseDomainSpec(rest[1:]) // begins with ":", or the name would go on
		}
	}
	return d, err
}

// cutPrefixLengths takes "/24//64", "/24" or "//64" off the end. RFC 7208 §5.6
func (d *directive) cutPrefixLengths(s string) (string, error) {
	var err error
	if i := strings.LastIndex(s, "//"); i >= 0 && digits(s[i+2:]) {
		if d.bits6, err = prefixLength(s[i+2:], 128); err != nil {
			return s, err
		}
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 && digits(s[i+1:]) {
		if d.bits4, err = prefixLength(s[i+1:], 32); err != nil {
			return s, err
		}
		s = s[:i]
	}
	if s != "" && s[0] != ':' {
		return s, errors.New("malformed prefix length")
	}
	return s, nil
}

// parseNetwork reads what follows ip4 and ip6.
func parseNetwork(k kind, s string) (netip.Prefix, error) {
	if !strings.HasPrefix(s, ":") {
		return netip.Prefix{}, errors.New("lacks an address")
	}
	text, length, has := strings.Cut(s[1:], "/")
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Is4() != (k == ip4) || ip.Zone() != "" {
		return netip.Prefix{}, errors.New("malformed address")
	}
	bits := ip.BitLen()
	if has {
		if bits, err = prefixLength(length, bits); err != nil {
			return netip.Prefix{}, err
		}
	}
	if ip.Is4In6() { // hosts of IPv4 are known by their IPv4 address
		if bits < 96 {
			return netip.PrefixFrom(ip, bits), nil
		}
		ip, bits = ip.Unmap(), bits-96
	}
	return netip.PrefixFrom(ip, bits).Masked(), nil
}

func prefixLength(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !digits(s) || n > most || len(s) > 1 && s[0] == '0' {
		return 0, errors.New("malformed prefix length")
	}
	return n, nil
}

// digits reports whether all octets are digits, also if there are none.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isAlpha(c) || c >= '0' && c <= '9' }
