package netserver

import (
	"context"
	"crypto/tls"
	"net"
)

// A Secure is the server's side of TLS. It knows which certificate each
// handshake has presented, which crypto/tls does not tell and
// tls-server-end-point needs (RFC 5929 §4).
type Secure struct {
	config *tls.Config
}

// NewSecure prepares a configuration; nil gives nil, for no TLS.
func NewSecure(config *tls.Config) *Secure {
	if config == nil {
		return nil
	}
	return &Secure{witnessed(config)}
}

// Handshake runs the handshake on nc. leaf is the certificate that was
// presented, in DER; nil when an earlier session was resumed. A deadline on nc
// bounds the time, and closing nc ends it: the end of ctx does not, since
// watching for it would take a goroutine for each handshake.
func (s *Secure) Handshake(ctx context.Context, nc net.Conn) (secured *tls.Conn, leaf []byte, err error) {
	w := &witness{Conn: nc}
	t := tls.Server(w, s.config)
	if err := t.HandshakeContext(context.WithoutCancel(ctx)); err != nil {
		return nil, nil, err
	}
	return t, w.leaf, nil
}

// A witness remembers which certificate was presented on a connection.
type witness struct {
	net.Conn
	leaf []byte
}

// witnessed makes a configuration that tells the witness. It chooses as
// crypto/tls does.
func witnessed(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	choose := config.Clone()
	config = config.Clone()
	if config.GetConfigForClient != nil {
		forClient := config.GetConfigForClient
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			own, err := forClient(hello)
			return witnessed(own), err
		}
	}
	config.Certificates = nil // else they may be taken without asking
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := certificateFor(choose, hello)
		if w, ok := hello.Conn.(*witness); ok && certificate != nil && len(certificate.Certificate) > 0 {
			w.leaf = certificate.Certificate[0]
		}
		return certificate, err
	}
	return config
}

func certificateFor(config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if config.GetCertificate != nil && (len(config.Certificates) == 0 || hello.ServerName != "") {
		if c, err := config.GetCertificate(hello); c != nil || err != nil {
			return c, err
		}
	}
	for i := range config.Certificates {
		if hello.SupportsCertificate(&config.Certificates[i]) == nil {
			return &config.Certificates[i], nil
		}
	}
	if len(config.Certificates) > 0 {
		return &config.Certificates[0], nil
	}
	return nil, nil
}
