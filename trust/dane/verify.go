package dane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/dns"
)

// A Failure says what of an authentication has failed.
type Failure int

// The failures.
const (
	NoMatch   Failure = iota + 1 // no record names the certificate, or one above it
	WrongName                    // the certificate is of another host
	Expired                      // a certificate of the chain is not valid now
	Untrusted                    // the chain does not hold
)

// An Error says why a host is not authenticated.
type Error struct {
	Failure Failure
	Err     error
}

// Error gives the cause in words.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Verify authenticates a host by the chain that it has shown, its own
// certificate first, with the records that Usable gave, of which there is at
// least one. names are the reference identifiers: the TLSA base domain, and
// where the host's name was found securely the domain whose mail it takes, as it
// is written and at the end of its aliases (RFC 7672 §3.2.2). It gives the record
// that the host is authenticated by; its error is an *Error.
func Verify(now time.Time, usable []dns.TLSA, chain []*x509.Certificate, names []string) (dns.TLSA, error) {
	if len(chain) == 0 {
		return dns.TLSA{}, &Error{NoMatch, errors.New("the host has shown no certificate")}
	}
	// The certificate itself: neither names nor dates matter, they are bound by
	// the record. RFC 7672 §3.1.1, §3.2.1
	for _, r := range usable {
		if r.Usage == usageEE && matches(r, chain[0]) {
			return r, nil
		}
	}
	var worst *Error
	for _, r := range usable {
		if r.Usage != usageTA {
			continue
		}
		err := below(now, r, chain)
		if err == nil {
			if err = named(chain[0], names); err == nil {
				return r, nil
			}
		}
		if worst == nil || worst.Failure == NoMatch {
			worst = err
		}
	}
	if worst == nil {
		worst = &Error{NoMatch, fmt.Errorf("none of the %d usable TLSA records names the host's certificate", len(usable))}
	}
	return dns.TLSA{}, worst
}

// matches tells whether a record names a certificate. RFC 6698 §2.1
func matches(r dns.TLSA, c *x509.Certificate) bool {
	selected := c.Raw
	if r.Selector == selectKey {
		selected = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchSHA256:
		sum := sha256.Sum256(selected)
		return bytes.Equal(sum[:], r.Data)
	case matchSHA512:
		sum := sha512.Sum512(selected)
		return bytes.Equal(sum[:], r.Data)
	}
	return bytes.Equal(selected, r.Data)
}

// below tells whether the chain leads to the authority that a record names: one
// that the host has shown (RFC 7672 §3.1.2), or that is in the record itself.
func below(now time.Time, r dns.TLSA, chain []*x509.Certificate) *Error {
	anchors, found := x509.NewCertPool(), false
	for _, c := range chain[1:] {
		if matches(r, c) {
			anchors.AddCert(c)
			found = true
		}
	}
	if r.Matching == matchFull && !found {
		found = true
		if r.Selector == selectCert {
			c, err := x509.ParseCertificate(r.Data)
			if err != nil {
				return &Error{NoMatch, err}
			}
			anchors.AddCert(c)
		} else if err := addKey(anchors, now, r.Data, chain); err != nil {
			return &Error{NoMatch, err}
		}
	}
	if !found {
		return &Error{NoMatch, fmt.Errorf("no authority that the host has shown is the one of the TLSA record %s", Format(r))}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: anchors, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &Error{Expired, err}
	}
	return &Error{Untrusted, fmt.Errorf("the chain does not lead to the authority of the TLSA record: %w", err)}
}

// addKey adds an authority of which the record has the key and nothing else: who
// issued one of the chain's certificates may be the one. RFC 7671 §5.2.2
func addKey(anchors *x509.CertPool, now time.Time, data []byte, chain []*x509.Certificate) error {
	key, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		return err
	}
	for i, c := range chain {
		anchors.AddCert(&x509.Certificate{
			// The pool tells certificates apart by their octets.
			Raw:        binary.BigEndian.AppendUint32(bytes.Clone(data), uint32(i)),
			RawSubject: c.RawIssuer, SubjectKeyId: c.AuthorityKeyId,
			RawSubjectPublicKeyInfo: data, PublicKey: key, PublicKeyAlgorithm: algorithmOf(key),
			Version: 3, BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
			NotBefore: now, NotAfter: now,
		})
	}
	return nil
}

// algorithmOf gives the algorithm of a key; unknown ones verify nothing.
func algorithmOf(key any) x509.PublicKeyAlgorithm {
	switch key.(type) {
	case *rsa.PublicKey:
		return x509.RSA
	case *ecdsa.PublicKey:
		return x509.ECDSA
	case ed25519.PublicKey:
		return x509.Ed25519
	}
	return x509.UnknownPublicKeyAlgorithm
}

// named tells whether a certificate is for one of the names. RFC 7672 §3.2.3
func named(c *x509.Certificate, names []string) *Error {
	own := c.DNSNames
	if len(own) == 0 && c.Subject.CommonName != "" {
		own = []string{c.Subject.CommonName}
	}
	for _, name := range names {
		for _, pattern := range own {
			if fits(pattern, name) {
				return nil
			}
		}
	}
	const most = 5 // of a stranger's words
	text := strings.Join(own[:min(len(own), most)], ", ")
	if text == "" {
		text = "nobody"
	}
	return &Error{WrongName, fmt.Errorf("the certificate is for %q, not for %s", text, strings.Join(names, " or "))}
}

// fits compares a name with one of a certificate, in which "*" may stand for the
// whole first label.
func fits(pattern, name string) bool {
	pattern, name = strings.TrimSuffix(pattern, "."), strings.TrimSuffix(name, ".")
	if name == "" {
		return false
	}
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		first, behind, ok := strings.Cut(name, ".")
		return ok && first != "" && strings.EqualFold(rest, behind)
	}
	return strings.EqualFold(pattern, name)
}
