package sasl

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"testing"
)

func certificate(t testing.TB, key crypto.Signer, alg x509.SignatureAlgorithm) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: alg, DNSNames: []string{"mx.example.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// RFC 5929 §4.1: the hash of the signature, SHA-256 in place of the broken
// ones, and nothing where the signature has no single hash.
func TestServerEndPoint(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	sum256 := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	sum384 := func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
	sum512 := func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }
	tests := []struct {
		key  crypto.Signer
		alg  x509.SignatureAlgorithm
		hash func([]byte) []byte
	}{
		{p256, x509.ECDSAWithSHA256, sum256},
		{p256, x509.ECDSAWithSHA384, sum384},
		{p256, x509.ECDSAWithSHA512, sum512},
		{rsaKey, x509.SHA256WithRSA, sum256},
		{rsaKey, x509.SHA384WithRSAPSS, sum384},
		{rsaKey, x509.SHA512WithRSA, sum512},
		{edKey, x509.PureEd25519, func([]byte) []byte { return nil }},
	}
	for _, tt := range tests {
		der := certificate(t, tt.key, tt.alg)
		if got, want := serverEndPoint(der), tt.hash(der); !slices.Equal(got, want) {
			t.Errorf("%v: %x, want %x", tt.alg, got, want)
		}
	}
	if serverEndPoint(nil) != nil || serverEndPoint([]byte("rubbish")) != nil {
		t.Error("a binding without a certificate")
	}
}

// handshake gives both ends' states of a TLS connection, and the server's
// certificate.
func handshake(t *testing.T, version uint16) (server, client tls.ConnectionState, der []byte) {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der = certificate(t, key, x509.ECDSAWithSHA256)
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   version, MaxVersion: version, InsecureSkipVerify: true,
	}
	a, b := net.Pipe()
	s, c := tls.Server(a, config), tls.Client(b, config)
	done := make(chan error, 1)
	go func() {
		done <- s.Handshake()
		s.Read(make([]byte, 1)) // the pipe has no buffer: take what the client still says
	}()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return s.ConnectionState(), c.ConnectionState(), der
}

func TestScramPlus(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server, client, der := handshake(t, version)
			ch := Channel{TLS: &server, Certificate: der}
			if got := Mechanisms(ch); !slices.Equal(got, []string{ScramSHA256Plus, ScramSHA256, Plain, Login}) {
				t.Errorf("mechanisms %q", got)
			}
			exported, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
			if err != nil {
				t.Fatal(err)
			}
			endPoint := sha256.Sum256(der)
			var noUnique error // tls-unique is for TLS 1.2 only
			if version == tls.VersionTLS13 {
				noUnique = ErrCredentials
			}
			tests := []struct {
				name, mechanism, gs2 string
				binding              []byte
				err                  error
			}{
				{"exporter", ScramSHA256Plus, "p=tls-exporter,,", exported, nil},
				{"end point", ScramSHA256Plus, "p=tls-server-end-point,,", endPoint[:], nil},
				{"unique", ScramSHA256Plus, "p=tls-unique,,", client.TLSUnique, noUnique},
				{"without binding", ScramSHA256, "n,,", nil, nil},
				{"of another connection", ScramSHA256Plus, "p=tls-exporter,,", make([]byte, 32), ErrCredentials},
				{"of another type", ScramSHA256Plus, "p=tls-exporter,,", endPoint[:], ErrCredentials},
				{"unknown type", ScramSHA256Plus, "p=tls-telepathy,,", nil, ErrCredentials},
				{"PLUS without binding", ScramSHA256Plus, "n,,", nil, ErrMalformed},
				{"binding without PLUS", ScramSHA256, "p=tls-exporter,,", exported, ErrMalformed},
				// RFC 5802 §6: the client has not been shown what we offered.
				{"stripped offer", ScramSHA256, "y,,", nil, ErrCredentials},
			}
			hidden := ch
			hidden.HideBinding = true
			if got := Mechanisms(hidden); !slices.Equal(got, []string{ScramSHA256, Plain, Login}) {
				t.Errorf("mechanisms where binding is hidden: %q", got)
			}
			try := func(ch Channel, name, mechanism, gs2 string, binding []byte, want error) {
				s, err := Start(mechanism, ch, testUsers())
				if err != nil {
					t.Fatal(err)
				}
				c := scramClient{gs2: gs2, user: "user", password: "pencil", binding: binding}
				if err := c.run(t.Context(), s, true); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				} else if err == nil && s.Identity().Mechanism != mechanism {
					t.Errorf("%s: identity %+v", name, s.Identity())
				}
			}
			for _, tt := range tests {
				try(ch, tt.name, tt.mechanism, tt.gs2, tt.binding, tt.err)
			}
			try(hidden, "hidden, but known", ScramSHA256Plus, "p=tls-exporter,,", exported, nil)
			try(hidden, "nothing was offered", ScramSHA256, "y,,", nil, nil)
		})
	}
}
