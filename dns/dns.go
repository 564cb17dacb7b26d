// Package dns looks up names for the rest of the house. Every answer says
// whether it is authentic (proved by DNSSEC).
//
// Stub asks the recursive resolvers of the machine, or configured ones, and
// keeps a bounded cache. The wire format is a library's (miekg/dns).
//
// Package dnstest fakes the world for tests.
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
	Err    error
}

// Error gives the question and the cause in words.
func (e *Error) Error() string {
	return fmt.Sprintf("looking up %s %s: %v: %s", e.Name, e.Type, e.Err, e.Detail)
}

// Unwrap gives ErrNotFound or ErrTemporary.
func (e *Error) Unwrap() error { return e.Err }

// A Result is what comes with every answer.
type Result struct {
	// Authentic says that DNSSEC proves the answer (or its absence).
	Authentic bool
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
	LookupTXT(ctx context.Context, name string) ([]string, Result, error)      // strings of a record joined
	LookupPTR(ctx context.Context, ip netip.Addr) ([]string, Result, error)
}

// An MX is one mail exchanger. RFC 1035 §3.3.9
type MX struct {
	Host       string // without the trailing dot, lower case; "." for a null MX
	Preference uint16
}
