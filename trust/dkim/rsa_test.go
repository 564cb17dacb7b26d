package dkim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

// Whatever is said of a signature, crypto/rsa says it too.
func TestRSA(t *testing.T) {
	digest := sha256.Sum256([]byte("a letter"))
	other := sha256.Sum256([]byte("another"))
	for _, bits := range []int{1024, 1032, 2048} {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		key, err := newRSAKey(&private.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		// The same number, and more than the modulus.
		above := new(big.Int).Add(new(big.Int).SetBytes(sum), private.N).Bytes()
		other384, err := rsa.SignPKCS1v15(nil, private, crypto.SHA384, append(digest[:], other[:16]...))
		if err != nil {
			t.Fatal(err)
		}
		if !key.verify(digest[:], sum) || key.verify(other[:], sum) {
			t.Errorf("%d bits: a signature is not told from another", bits)
		}
		for _, s := range [][]byte{
			sum, nil, {0}, sum[:len(sum)-1], append([]byte{0}, sum...), append(sum, 0), above, make([]byte, len(sum)),
			private.N.Bytes(), other384, changed(sum, 0), changed(sum, len(sum)-1),
		} {
			want := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, digest[:], s) == nil
			if got := key.verify(digest[:], s); got != want {
				t.Errorf("%d bits, % x: %v, want %v", bits, s, got, want)
			}
		}
	}
}

func changed(b []byte, at int) []byte {
	b = append([]byte(nil), b...)
	b[at] ^= 1
	return b
}

// Keys that crypto/rsa does not take are none.
func TestImpossibleRSA(t *testing.T) {
	even := new(big.Int).Lsh(big.NewInt(1), 1024)
	odd := new(big.Int).Add(even, big.NewInt(1))
	for _, public := range []rsa.PublicKey{
		{N: odd, E: 2}, {N: odd, E: 1}, {N: odd, E: 0}, {N: odd, E: -3}, {N: odd, E: 65536},
		{N: even, E: 65537}, {N: big.NewInt(0), E: 65537}, {N: big.NewInt(1), E: 65537},
	} {
		if _, err := newRSAKey(&public); err == nil {
			t.Errorf("%v was taken", public)
		}
	}
}
