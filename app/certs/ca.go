package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	leafRenewal   = 30 * 24 * time.Hour // before the end
)

// A CA is a certificate authority of our own. Its certificate, ca.pem, is what
// clients are told to trust.
type CA struct {
	certificate *x509.Certificate
	key         crypto.Signer
	leafKey     crypto.Signer
}

// OpenCA reads the authority in dir (ca.pem, ca-key.pem, and server-key.pem
// for the certificates that it signs), or makes one. It may sign for any name:
// name constraints would have to permit those that Issue makes of addresses,
// and Thunderbird and Firefox call such constraints malformed.
func OpenCA(dir, name string, now time.Time) (*CA, error) {
	key, err := openKey(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		return nil, err
	}
	leafKey, err := openKey(filepath.Join(dir, "server-key.pem"))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "ca.pem")
	certificate, err := readCertificate(file)
	if errors.Is(err, fs.ErrNotExist) {
		certificate, err = makeAuthority(file, key, name, now)
	}
	if err != nil {
		return nil, err
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !public.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("%s and ca-key.pem do not belong together; remove both to have new ones made", file)
	}
	return &CA{certificate: certificate, key: key, leafKey: leafKey}, nil
}

func makeAuthority(file string, key crypto.Signer, name string, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := writeFile(file, block, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM gives the authority's certificate.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw})
}

// Issue signs a certificate for host names and IP addresses. Its key is always
// the same one.
func (ca *CA) Issue(names []string, now time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	// QUIRK: mbsync, fetchmail and offlineimap compare an address that they were
	// told to connect to with the names only. Last: others stumble over such a
	// name, but stop reading at the one that they look for.
	for _, ip := range template.IPAddresses {
		if ip.To4() != nil {
			template.DNSNames = append(template.DNSNames, ip.String())
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, ca.leafKey.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		Certificate: [][]byte{der, ca.certificate.Raw},
		PrivateKey:  ca.leafKey,
		Leaf:        leaf,
	}, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: holds no certificate", file)
	}
	return x509.ParseCertificate(block.Bytes)
}

// openKey reads a private key, or makes one.
func openKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no key", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: holds no key that can sign", file)
	}
	return signer, nil
}

func makeKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeFile makes a file that is there whole or not at all, also after a crash.
func writeFile(file string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
