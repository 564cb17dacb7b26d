package dnssec

import (
	"encoding/base64"
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// BenchmarkVerify proves one set; "bare" is the signature alone, of which the
// rest is what finding, ordering and hashing cost.
func BenchmarkVerify(b *testing.B) {
	s := newSigner(b, "example.", 256)
	set := s.set(b, today, "mail.example. 300 IN MX 10 a.example.", "mail.example. 300 IN MX 20 b.example.")
	keys := s.keys(b)
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, f := check().Verify(set, keys); f.Security != dns.Secure {
				b.Fatal(f)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		data, err := signedData(set.Sigs[0], set)
		if err != nil {
			b.Fatal(err)
		}
		signature, err := base64.StdEncoding.DecodeString(set.Sigs[0].Signature)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			keys.keys[0].verify(data, signature)
		}
	})
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := signedData(set.Sigs[0], set); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unpack", func(b *testing.B) {
		m := new(wire.Msg).SetQuestion("mail.example.", wire.TypeMX)
		m.Answer = append(set.Records[:len(set.Records):len(set.Records)], set.Sigs[0])
		packed, err := m.Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := new(wire.Msg).Unpack(packed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
