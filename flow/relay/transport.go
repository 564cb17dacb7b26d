package relay

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Transport says how mail for some domains travels, whatever those domains
// have published.
type Transport struct {
	// Domain is the domain that the mail goes to (that of a smarthost, if it
	// goes over one) in lower case, ".example.org" for all below example.org, or
	// "*" for all.
	Domain string
	Level  Level
	// Names are those of which a certificate must have one, with Verify; none
	// for the name of the host.
	Names []string
	// Fingerprints are the certificates or keys of which the host must show one,
	// with Pinned.
	Fingerprints []Fingerprint
}

// A Level says how much protection is demanded.
type Level string

// The levels.
const (
	NoTLS  Level = "none"        // in the clear, also where TLS is offered
	May    Level = "may"         // TLS where it is offered, whatever the certificate
	Needed Level = "require"     // TLS, whatever the certificate
	DANE   Level = "dane"        // TLS, and DANE: RFC 7672 §6
	Verify Level = "verify"      // TLS, and a certificate that authorities vouch for
	Pinned Level = "fingerprint" // TLS, and a certificate or key that is known
)

// transportFor gives the first that fits the domain; nil if there is none.
func transportFor(all []Transport, domain string) *Transport {
	for i := range all {
		if d := all[i].Domain; d == "*" || fits(d, domain) {
			return &all[i]
		}
	}
	return nil
}

// A Fingerprint is the SHA-256 of a certificate, or of the public key in one.
type Fingerprint struct {
	OfKey bool
	Sum   [sha256.Size]byte
}

// ParseFingerprint reads "sha256:" and the octets of the sum of a certificate in
// hexadecimal, with or without colons, or the same of a public key with
// "key-sha256:".
func ParseFingerprint(s string) (Fingerprint, error) {
	kind, digits, _ := strings.Cut(s, ":")
	f := Fingerprint{OfKey: kind == "key-sha256"}
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(sum) != len(f.Sum) || !f.OfKey && kind != "sha256" {
		return Fingerprint{}, fmt.Errorf("%q is neither \"sha256:\" nor \"key-sha256:\" and 64 hexadecimal digits", s)
	}
	f.Sum = [sha256.Size]byte(sum)
	return f, nil
}

// String writes it as ParseFingerprint reads it.
func (f Fingerprint) String() string {
	if f.OfKey {
		return "key-sha256:" + hex.EncodeToString(f.Sum[:])
	}
	return "sha256:" + hex.EncodeToString(f.Sum[:])
}

// matches tells whether it is that of a certificate.
func (f Fingerprint) matches(c *x509.Certificate) bool {
	if f.OfKey {
		return sha256.Sum256(c.RawSubjectPublicKeyInfo) == f.Sum
	}
	return sha256.Sum256(c.Raw) == f.Sum
}
