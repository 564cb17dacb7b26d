// Package certs is where TLS certificates come from: an authority of our own
// (development, trials, and until a real one has answered), files that are
// watched, and ACME (RFC 8555).
//
// A Source answers handshakes from memory and may be asked at any time; what
// it answers with changes under it, without a restart. Sources that need to
// look after their certificates have a Run.
package certs

import (
	"crypto/tls"
	"errors"
)

// A Source gives the certificate for a handshake. It is safe for concurrent
// use and does no I/O.
type Source interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ErrNone says that a source has no certificate for what was asked.
var ErrNone = errors.New("no certificate")

// Fallback asks each source in turn until one has an answer.
type Fallback []Source

// GetCertificate implements Source.
func (f Fallback) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	err := ErrNone
	for _, source := range f {
		var c *tls.Certificate
		if c, err = source.GetCertificate(hello); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// ServerConfig is how all doors speak TLS: 1.2 at least (RFC 8996, RFC 9325
// §3.1.1), with the library's choice of ciphers and groups, whose first is the
// post-quantum hybrid X25519MLKEM768. protocols are the ALPN names of the
// service; a client that speaks another protocol by mistake or by an attacker's
// will is then turned away. RFC 9325 §3.7
func ServerConfig(source Source, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: source.GetCertificate,
		NextProtos:     protocols,
	}
}
