package relay

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/trust/dane"
	"waxwing/trust/tlsrpt"
)

// A finding is what a host's certificates say about what was demanded.
type finding struct {
	proven bool
	how    string            // in words, if it is proven
	result tlsrpt.ResultType // how it failed, if it is not
	err    error
}

// prove looks at the certificates of a connection. It is pure: the same
// connection is looked at again for a message that demands something else.
func (d *demand) prove(state *tls.ConnectionState, roots *x509.CertPool, now time.Time) finding {
	if state == nil {
		return finding{result: tlsrpt.STARTTLSNotSupported, err: errors.New("there is no TLS")}
	}
	chain := state.PeerCertificates
	switch {
	case d.proof == noProof:
		return finding{}
	case len(chain) == 0:
		return finding{result: tlsrpt.ValidationFailure, err: errors.New("the host has shown no certificate")}
	case d.proof == byTLSA:
		r, err := dane.Verify(now, d.tlsa, chain, d.names)
		if err != nil {
			return finding{result: daneResult(err), err: err}
		}
		return finding{proven: true, how: fmt.Sprintf("DANE (%d %d %d)", r.Usage, r.Selector, r.Matching)}
	case d.proof == byPrint:
		for _, f := range d.fingerprints {
			if f.matches(chain[0]) {
				return finding{proven: true, how: "a known fingerprint"}
			}
		}
		return finding{result: tlsrpt.CertificateNotTrusted, err: errors.New("the certificate has none of the fingerprints that are configured")}
	}
	if err := vouched(chain, d.names, roots, now); err != nil {
		return finding{result: authorityResult(err), err: err}
	}
	return finding{proven: true, how: "an authority"}
}

// vouched tells whether an authority vouches for a certificate with one of the
// names. RFC 8461 §4.2, RFC 6125 §6.4
func vouched(chain []*x509.Certificate, names []string, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
		return err
	}
	var err error
	for _, name := range names {
		if err = chain[0].VerifyHostname(strings.TrimSuffix(name, ".")); err == nil {
			return nil
		}
	}
	return err
}

// daneResult gives the word of reports for what dane.Verify says.
func daneResult(err error) tlsrpt.ResultType {
	var failed *dane.Error
	if !errors.As(err, &failed) {
		return tlsrpt.ValidationFailure
	}
	switch failed.Failure {
	case dane.WrongName:
		return tlsrpt.CertificateHostMismatch
	case dane.Expired:
		return tlsrpt.CertificateExpired
	case dane.Untrusted:
		return tlsrpt.CertificateNotTrusted
	}
	return tlsrpt.TLSAInvalid
}

// authorityResult gives the word of reports for what vouched says. RFC 8460
// §4.3.1
func authorityResult(err error) tlsrpt.ResultType {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return tlsrpt.CertificateHostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return tlsrpt.CertificateExpired
	}
	return tlsrpt.CertificateNotTrusted
}

// look judges a link by what is demanded, for this message; it says why the
// message must not go over it, if so. What it finds is noted on the link.
func (l *link) look(d demand, now time.Time) *unmet {
	l.found, l.sure, l.remark = finding{}, false, ""
	if d.must == inClear && d.proof == noProof {
		return nil
	}
	if d.proof != noProof {
		l.found = d.prove(l.TLS(), l.roots, now)
		l.sure = l.found.proven && d.vouched
	}
	if l.found.proven {
		l.remark = "proven by " + l.found.how
	} else if l.found.err != nil && d.word != "" {
		l.remark = "not proven: " + l.found.err.Error()
	}
	if d.word != "" && !(l.found.proven && d.word == "DANE") {
		l.remark = strings.TrimPrefix(l.remark+", wanted by "+d.word, ", ")
	}
	switch {
	case d.must >= encrypted && l.TLS() == nil:
		return d.offersNone(l.host)
	case d.must >= authenticated && !l.found.proven:
		return d.failed(l.host, l.found.result, l.found.err)
	}
	return nil
}
