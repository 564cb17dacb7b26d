// Package dkim verifies and makes DomainKeys Identified Mail signatures:
// RFC 6376, with the algorithms of RFC 8301 and RFC 8463 and the
// internationalised names of RFC 8616.
//
// A Verifier and a Signer read a message once, as it comes in: they keep the
// header, and of the body its hashes only.
//
//	tags.go       the lists of name=value that signatures and keys are written in
//	signature.go  a DKIM-Signature field as a value
//	key.go        public keys and where they are found
//	header.go     the fields of a header
//	canonical.go  the forms that are signed, and a header's fields in them
//	body.go       hashes of a body in them
//	text.go       a message that several read in one pass
//	verify.go     Verifier
//	sign.go       Signer
package dkim

import "time"

// A Status is what came of a signature, in the words of RFC 8601 §2.7.1.
type Status string

// What can come of a signature.
const (
	Pass      Status = "pass"
	Fail      Status = "fail"      // the message or its header is not what was signed
	Policy    Status = "policy"    // it holds, and is not good enough for us
	TempError Status = "temperror" // the key could not be fetched for now
	PermError Status = "permerror" // it can never be verified
)

// A Result is the verdict on one signature.
type Result struct {
	Status   Status
	Reason   string // in words, unless it passed
	Domain   string // d=, who takes responsibility; lower case
	Selector string // s=
	Identity string // i=, on whose behalf; "@" and the domain if not given
	// Algorithm is a=, such as "rsa-sha256".
	Algorithm string
	// Headers are the names of the fields that are signed, in lower case.
	Headers []string
	// Mark is the beginning of the signature, which tells several signatures
	// of one domain apart. RFC 8601 §2.7.1, header.b
	Mark string
	// Testing says that the domain only tries DKIM out. RFC 6376 §3.6.1, t=y
	Testing bool
	// Authentic says that DNSSEC proves the key.
	Authentic bool
	// Signed is when the signature was made, and Expires until when it is good;
	// zero if it does not say.
	Signed, Expires time.Time
	// KeyBits is the size of the key, if it was found.
	KeyBits int
}
