package dns

import "fmt"

// Security says how far an answer can be believed. RFC 4033 §5
type Security uint8

// The four states, and what a mail server does with them.
const (
	// Indeterminate: nobody has tried to prove the answer, or no trust anchor
	// covers the name. Usable as ordinary DNS is, never for DANE.
	Indeterminate Security = iota
	// Insecure: it is proven that the name lies in a zone that is not signed.
	// Usable as ordinary DNS is.
	Insecure
	// Secure: a chain of signatures leads from a trust anchor to the answer.
	Secure
	// Bogus: the answer ought to be signed, and the signatures do not hold, or
	// are missing. Not usable; lookups fail with ErrTemporary.
	Bogus
)

var securityNames = [...]string{"indeterminate", "insecure", "secure", "bogus"}

// String gives the word of RFC 4033.
func (s Security) String() string {
	if int(s) < len(securityNames) {
		return securityNames[s]
	}
	return fmt.Sprintf("security %d", uint8(s))
}

// Weaker gives what holds of two answers of which one depends on the other,
// such as an alias and the name that it leads to.
func (s Security) Weaker(other Security) Security {
	rank := [...]uint8{Indeterminate: 1, Insecure: 2, Secure: 3, Bogus: 0}
	if rank[other&3] < rank[s&3] {
		return other
	}
	return s
}

// A Finding is what validation says of an answer.
type Finding struct {
	Security Security
	// Code is the extended error code that fits, 0 for none (which is also
	// "other"). RFC 8914 §4
	Code uint16
	// Reason says in words why the answer is not secure.
	Reason string
}

// Weaker joins the findings of two answers of which one depends on the other;
// the reason is that of the weaker.
func (f Finding) Weaker(other Finding) Finding {
	if f.Security.Weaker(other.Security) == f.Security {
		return f
	}
	return other
}
