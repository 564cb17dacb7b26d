package dkim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

// What verifying costs beside the hash and the RSA operation in it.
func BenchmarkVerify(b *testing.B) {
	keys, z := pairs(b)
	for name, size := range map[string]int{"4KiB": 4 << 10, "64KiB": 64 << 10} {
		text := letter + strings.Repeat("A line of a letter, of usual length, with words in it.\r\n", size/56)
		m := sign(b, text, keys[1:])
		b.Run(name+"/verify", func(b *testing.B) {
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				var v Verifier
				_, _ = v.Write(m)
				if r := v.Finish(b.Context(), z, time.Unix(1e9, 0)); r[0].Status != Pass {
					b.Fatal(r)
				}
			}
		})
		b.Run(name+"/bare", func(b *testing.B) {
			b.SetBytes(int64(len(m)))
			private := keys[1].Private.(*rsa.PrivateKey)
			sum := sha256.Sum256(m)
			signature, err := signDigest(private, sum[:])
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				sum := sha256.Sum256(m)
				if rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, sum[:], signature) != nil {
					b.Fatal("no")
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	keys, _ := pairs(b)
	text := letter + strings.Repeat("A line of a letter, of usual length, with words in it.\r\n", 75)
	b.ReportAllocs()
	for b.Loop() {
		s := NewSigner()
		_, _ = s.Write([]byte(text))
		if _, err := s.Finish(time.Unix(1e9, 0), keys...); err != nil {
			b.Fatal(err)
		}
	}
}
