package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"

	wire "github.com/miekg/dns"
)

const (
	flagZone   = 1 << 8 // RFC 4034 §2.1.1
	flagRevoke = 1 << 7 // RFC 5011 §7
	// Keys of a zone that are looked at.
	maxKeys = 24
	// Keys with one tag that are tried with a signature. Collisions happen by
	// chance once in 65,536 pairs; many of them are the KeyTrap attack.
	maxSameTag = 3
)

// A key is one DNSKEY, ready to verify with.
type key struct {
	record    *wire.DNSKEY
	tag       uint16
	algorithm uint8
	verify    func(data, signature []byte) bool
}

// algorithms says which signatures are verified. SHA-1 is left out by default:
// RFC 9905 §2 has it treated as unsupported. Ed448, RSA/MD5, DSA and GOST are
// unsupported too, and zones with nothing else are insecure. RFC 8624 §3.1
func supportedAlgorithm(algorithm uint8, withSHA1 bool) bool {
	switch algorithm {
	case wire.RSASHA256, wire.RSASHA512, wire.ECDSAP256SHA256, wire.ECDSAP384SHA384, wire.ED25519:
		return true
	case wire.RSASHA1, wire.RSASHA1NSEC3SHA1:
		return withSHA1
	}
	return false
}

// supportedDigest does the same for the digests of DS records. RFC 8624 §3.3
func supportedDigest(digest uint8, withSHA1 bool) bool {
	switch digest {
	case wire.SHA256, wire.SHA384:
		return true
	case wire.SHA1:
		return withSHA1
	}
	return false
}

// parseKey makes a key ready; false for those that cannot verify anything.
func parseKey(record *wire.DNSKEY, withSHA1 bool) (key, bool) {
	k := key{record: record, algorithm: record.Algorithm}
	// RFC 4034 §2.1.1 and §2.1.2: only zone keys sign zones, the protocol is
	// always 3. A revoked key proves nothing but its own revocation.
	if record.Flags&flagZone == 0 || record.Protocol != 3 || record.Flags&flagRevoke != 0 ||
		!supportedAlgorithm(record.Algorithm, withSHA1) {
		return k, false
	}
	return k, k.prepare()
}

// prepare finds the way to verify with the key.
func (k *key) prepare() bool {
	public, err := base64.StdEncoding.DecodeString(k.record.PublicKey)
	if err != nil {
		return false
	}
	k.tag = k.record.KeyTag()
	switch k.algorithm {
	case wire.RSASHA1, wire.RSASHA1NSEC3SHA1:
		return k.prepareRSA(public, crypto.SHA1, func(b []byte) []byte { h := sha1.Sum(b); return h[:] })
	case wire.RSASHA256:
		return k.prepareRSA(public, crypto.SHA256, digest256)
	case wire.RSASHA512:
		return k.prepareRSA(public, crypto.SHA512, func(b []byte) []byte { h := sha512.Sum512(b); return h[:] })
	case wire.ECDSAP256SHA256:
		return k.prepareECDSA(public, elliptic.P256(), digest256)
	case wire.ECDSAP384SHA384:
		return k.prepareECDSA(public, elliptic.P384(), func(b []byte) []byte { h := sha512.Sum384(b); return h[:] })
	case wire.ED25519: // RFC 8080 §3
		if len(public) != ed25519.PublicKeySize {
			return false
		}
		k.verify = func(data, signature []byte) bool {
			return len(signature) == ed25519.SignatureSize && ed25519.Verify(public, data, signature)
		}
		return true
	}
	return false
}

func digest256(b []byte) []byte { h := sha256.Sum256(b); return h[:] }

// prepareRSA reads an RSA key: the exponent with its length, then the modulus.
// RFC 3110 §2; 512 to 4096 bits, RFC 5702 §2, of which the library wants 1024.
func (k *key) prepareRSA(public []byte, hash crypto.Hash, digest func([]byte) []byte) bool {
	if len(public) < 1 {
		return false
	}
	length, rest := int(public[0]), public[1:]
	if length == 0 {
		if len(rest) < 2 {
			return false
		}
		length, rest = int(rest[0])<<8|int(rest[1]), rest[2:]
	}
	// An exponent over 31 bits would only serve to keep us busy.
	if length == 0 || length > 4 || len(rest) <= length || rest[0] == 0 {
		return false
	}
	exponent := 0
	for _, b := range rest[:length] {
		exponent = exponent<<8 | int(b)
	}
	modulus := new(big.Int).SetBytes(rest[length:])
	if exponent < 3 || exponent > 1<<31-1 || exponent&1 == 0 || modulus.BitLen() < 1024 || modulus.BitLen() > 4096 || modulus.Bit(0) == 0 {
		return false
	}
	pub := &rsa.PublicKey{N: modulus, E: exponent}
	k.verify = func(data, signature []byte) bool {
		return rsa.VerifyPKCS1v15(pub, hash, digest(data), signature) == nil
	}
	return true
}

// prepareECDSA reads a point of the curve; a signature is two numbers of the
// curve's size. RFC 6605 §4
func (k *key) prepareECDSA(public []byte, curve elliptic.Curve, digest func([]byte) []byte) bool {
	size := (curve.Params().BitSize + 7) / 8
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, append([]byte{4}, public...))
	if err != nil {
		return false
	}
	k.verify = func(data, signature []byte) bool {
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(pub, digest(data), r, s)
	}
	return true
}

// digestOf gives what a DS record says of a key. RFC 4034 §5.1.4
func digestOf(record *wire.DNSKEY, digest uint8) []byte {
	owner, ok := wireName(record.Hdr.Name)
	if !ok {
		return nil
	}
	rdata, err := canonicalData(record)
	if err != nil {
		return nil
	}
	data := slices.Concat(owner, rdata)
	switch digest {
	case wire.SHA1:
		h := sha1.Sum(data)
		return h[:]
	case wire.SHA256: // RFC 4509
		return digest256(data)
	case wire.SHA384: // RFC 6605 §2
		h := sha512.Sum384(data)
		return h[:]
	}
	return nil
}

// matches tells whether a DS record speaks of a key.
func matches(ds *wire.DS, record *wire.DNSKEY) bool {
	if ds.Algorithm != record.Algorithm || ds.KeyTag != record.KeyTag() {
		return false
	}
	digest := digestOf(record, ds.DigestType)
	return digest != nil && strings.EqualFold(hex.EncodeToString(digest), ds.Digest)
}
