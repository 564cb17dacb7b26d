package dkim

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/bigmod"
)

// A rsaKey is a domain's RSA key, ready to verify with. crypto/rsa makes the same
// ready for each signature anew, which is a third of what verifying costs it;
// what is computed here is public, all of it.
type rsaKey struct {
	modulus  *bigmod.Modulus
	exponent uint
}

// newRSAKey takes what crypto/rsa would take too.
func newRSAKey(public *rsa.PublicKey) (*rsaKey, error) {
	if public.N.Bit(0) == 0 || public.E < 3 || public.E&1 == 0 || int64(public.E) > 1<<31-1 {
		return nil, errors.New("the RSA key is impossible")
	}
	modulus, err := bigmod.NewModulus(public.N.Bytes())
	if err != nil {
		return nil, fmt.Errorf("the RSA key is impossible: %w", err)
	}
	return &rsaKey{modulus: modulus, exponent: uint(public.E)}, nil
}

// sha256Info comes before a SHA-256 sum: what it is, in DER. RFC 8017 §9.2,
// note 1
var sha256Info = []byte{
	0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
}

// verify tells whether a signature by RSASSA-PKCS1-v1_5 is that of a SHA-256 sum.
// What the signer must have encoded is made, and compared whole; nothing of what
// a stranger has encoded is parsed. RFC 8017 §8.2.2
func (k *rsaKey) verify(digest, signature []byte) bool {
	size := k.modulus.Size()
	padding := size - 3 - len(sha256Info) - sha256.Size
	if len(signature) != size || len(digest) != sha256.Size || padding < 8 {
		return false
	}
	s, err := bigmod.NewNat().SetBytes(signature, k.modulus)
	if err != nil {
		return false // it is not below the modulus
	}
	want := append(make([]byte, 0, size), 0, 1)
	for range padding {
		want = append(want, 0xff)
	}
	want = append(append(append(want, 0), sha256Info...), digest...)
	return bytes.Equal(bigmod.NewNat().ExpShortVarTime(s, k.exponent, k.modulus).Bytes(k.modulus), want)
}
