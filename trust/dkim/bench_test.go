package dkim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"
)

// What verifying costs beside the hash and the RSA operation in it, which are
// done by turns: the median of one by that of the other.
func BenchmarkVerify(b *testing.B) {
	keys, z := pairs(b)
	private := keys[1].Private.(*rsa.PrivateKey)
	for name, size := range map[string]int{"4KiB": 4 << 10, "64KiB": 64 << 10} {
		text := letter + strings.Repeat("A line of a letter, of usual length, with words in it.\r\n", size/56)
		m, known := sign(b, text, keys[1:]), NewKeys()
		sum := sha256.Sum256(m)
		signature, err := signDigest(private, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var whole, bare []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				v := Verifier{Keys: known}
				_, _ = v.Write(m)
				if r := v.Finish(b.Context(), z, time.Unix(1e9, 0)); r[0].Status != Pass {
					b.Fatal(r)
				}
				between := time.Now()
				sum := sha256.Sum256(m)
				if rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, sum[:], signature) != nil {
					b.Fatal("no")
				}
				whole, bare = append(whole, between.Sub(begun)), append(bare, time.Since(between))
			}
			slices.Sort(whole)
			slices.Sort(bare)
			n := len(whole) / 2
			b.ReportMetric(float64(whole[n].Nanoseconds()), "ns/verify")
			b.ReportMetric(float64(bare[n].Nanoseconds()), "ns/bare")
			b.ReportMetric(float64(whole[n])/float64(bare[n]), "of-bare")
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
