package sasl

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// The types of channel binding that we know.
const (
	tlsExporter       = "tls-exporter"         // RFC 9266
	tlsServerEndPoint = "tls-server-end-point" // RFC 5929 §4
	tlsUnique         = "tls-unique"           // RFC 5929 §3
)

// hasBinding tells whether the channel has any type of channel binding.
func hasBinding(ch Channel) bool {
	return bindingData(ch, tlsExporter) != nil ||
		bindingData(ch, tlsServerEndPoint) != nil ||
		bindingData(ch, tlsUnique) != nil
}

// bindingData gives the channel binding data of a type, nil where the
// channel has none.
func bindingData(ch Channel, binding string) []byte {
	if ch.TLS == nil || !ch.TLS.HandshakeComplete {
		return nil
	}
	switch binding {
	case tlsExporter:
		// The context is there but empty. The exporter itself refuses TLS 1.2
		// without extended master secret, as RFC 9266 §4.2 wants.
		data, err := ch.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32) // RFC 9266 §2
		if err != nil {
			return nil
		}
		return data
	case tlsServerEndPoint:
		return serverEndPoint(ch.Certificate)
	case tlsUnique:
		if ch.TLS.Version >= tls.VersionTLS13 { // not defined there, RFC 9266 §3
			return nil
		}
		if len(ch.TLS.TLSUnique) == 0 {
			return nil
		}
		return ch.TLS.TLSUnique
	}
	return nil
}

// serverEndPoint hashes the server's certificate with the hash of its
// signature, or SHA-256 where that would be MD5 or SHA-1. It is not defined
// for signatures that use no hash or several. RFC 5929 §4.1
func serverEndPoint(der []byte) []byte {
	if len(der) == 0 {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default: // Ed25519 among them: no hash of its own
		return nil
	}
	h := hash.New()
	h.Write(der)
	return h.Sum(nil)
}
