package imapserver

import (
	"context"
	"crypto/tls"
)

// certificates finds out which certificate a handshake has presented, which
// crypto/tls does not tell: tls-server-end-point is a hash of it
// (RFC 5929 §4).
type certificates struct {
	only []byte // where there is only one, its DER
}

// presented is the key under which a handshake's context carries the place
// for its certificate.
type presented struct{}

// watch replaces the configuration by one that reports.
func (k *certificates) watch(config **tls.Config) {
	original := *config
	switch {
	case original == nil || original.GetConfigForClient != nil:
		return // SCRAM still has tls-exporter
	case original.GetCertificate == nil && len(original.Certificates) == 1:
		k.only = original.Certificates[0].Certificate[0]
		return
	case original.GetCertificate == nil:
		return
	}
	reporting := original.Clone()
	reporting.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := original.GetCertificate(hello)
		if place, ok := hello.Context().Value(presented{}).(*[]byte); ok && err == nil && cert != nil && len(cert.Certificate) > 0 {
			*place = cert.Certificate[0]
		}
		return cert, err
	}
	*config = reporting
}

// handshake runs the server's side of the handshake and gives the DER of the
// certificate that was presented, nil if it is not known.
func (k *certificates) handshake(ctx context.Context, t *tls.Conn) ([]byte, error) {
	der := k.only
	err := t.HandshakeContext(context.WithValue(ctx, presented{}, &der))
	return der, err
}
