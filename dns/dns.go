// Package dns looks up names for the rest of the house. Every answer says
// whether it is authentic (proved by DNSSEC).
//
// This package has the words: Resolver and what it answers, with the Security
// of RFC 4033. Two things stand behind it, each a Source of records that
// Lookups turns into what callers ask for:
//
//   - recursor.Resolver resolves from the root, or through configured servers,
//     and validates (dns/dnssec judges, dns/cache remembers);
//   - Stub believes the recursive resolvers of the machine, or configured ones.
//
// The wire format is a library's (miekg/dns). Package dnstest fakes the world
// for tests.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Errors that callers branch on with errors.Is.
var (
	// ErrNotFound: the name does not exist, or has no record of the type
	// (NXDOMAIN and NODATA). It is an answer, not a failure.
	ErrNotFound = errors.New("no such record")
	// ErrTemporary: it could not be found out (timeout, SERVFAIL, bogus).
	ErrTemporary = errors.New("temporary DNS failure")
)

// An Error says which question failed, and how. It wraps ErrNotFound or
// ErrTemporary.
type Error struct {
	Name string
	Type string // such as "MX"
	// NoName says that the name does not exist at all (NXDOMAIN), which is
	// more than having no record of the type. Only with ErrNotFound.
	NoName bool
	// Detail is the cause in words, such as "SERVFAIL from 192.0.2.1".
	Detail string
	// Code is an extended error code (RFC 8914), or 0.
	Code uint16
	Err  error
}

// Error gives the question and the cause in words.
func (e *Error) Error() string {
	return fmt.Sprintf("looking up %s %s: %v: %s", e.Name, e.Type, e.Err, e.Detail)
}

// Unwrap gives ErrNotFound or ErrTemporary.
func (e *Error) Unwrap() error { return e.Err }

// A Result is what comes with every answer, also with "no such record".
type Result struct {
	// Authentic says that DNSSEC proves the answer (or its absence): the same
	// as Security being Secure.
	Authentic bool
	Security  Security
	// Reason says in words why the answer is not secure.
	Reason string
	// Code is the extended error code of RFC 8914 that goes with the reason, or
	// 0.
	Code uint16
	// Name is the name at the end of the aliases: the one asked for if it is no
	// alias.
	Name string
	// Asked is the security of the first step alone: of the alias, if the name
	// is one, whatever becomes of its target. RFC 7672 §2.1.3
	Asked Security
}

// A Resolver looks up records. Names are absolute with or without the
// trailing dot; A-labels. Answers keep the order of preference where the type
// has one and follow CNAMEs. Errors wrap ErrNotFound or ErrTemporary. Safe for
// concurrent use.
type Resolver interface {
	// LookupMX gives the MX records sorted by preference. A null MX
	// (RFC 7505) is one record with Host ".".
	LookupMX(ctx context.Context, name string) ([]MX, Result, error)
	LookupAddr(ctx context.Context, name string) ([]netip.Addr, Result, error) // A and AAAA
	// LookupFamily gives the addresses of one family. Who needs no others asks
	// so: trouble with those is none of his then, and theirs is not hidden.
	LookupFamily(ctx context.Context, name string, f Family) ([]netip.Addr, Result, error)
	LookupTXT(ctx context.Context, name string) ([]string, Result, error) // strings of a record joined
	LookupPTR(ctx context.Context, ip netip.Addr) ([]string, Result, error)
	// LookupTLSA gives the TLSA records of a name such as
	// "_25._tcp.mx.example.org". They count only if the result is Secure.
	LookupTLSA(ctx context.Context, name string) ([]TLSA, Result, error)
}

// A Family is one kind of addresses.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
)

// FamilyOf gives the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// An MX is one mail exchanger. RFC 1035 §3.3.9
type MX struct {
	Host       string // without the trailing dot, lower case; "." for a null MX
	Preference uint16
}

// A TLSA says which certificate a server has. RFC 6698 §2.1, RFC 7671
type TLSA struct {
	Usage    uint8
	Selector uint8
	Matching uint8
	Data     []byte
}
