package dnssec

import (
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// FuzzAnswer has the judge look at messages that anybody may send. The law:
// without the zone's key nothing is ever secure, and the work is bounded.
func FuzzAnswer(f *testing.F) {
	s := newSigner(f, "example.", 256)
	for _, records := range [][]string{
		{"x.example. 300 IN A 192.0.2.1"}, {"a.example. 300 IN NSEC c.example. A RRSIG NSEC"},
		{"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 300 IN NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA"},
		{"d.example. 300 IN DNAME e.example."}, {"n.example. 300 IN NAPTR 1 2 \"u\" \"s\" \"!^.*$!x!\" T.EXAMPLE."},
	} {
		set := s.set(f, today, records...)
		m := new(wire.Msg)
		m.Answer = append(set.Records, set.Sigs[0])
		m.Ns = m.Answer
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, "b.example.", uint16(wire.TypeA))
	}
	stranger := newSigner(f, "example.", 256) // whose key the messages are not signed with
	keys := stranger.keys(f)
	f.Fuzz(func(t *testing.T, message []byte, name string, rrtype uint16) {
		m := new(wire.Msg)
		if m.Unpack(message) != nil {
			return
		}
		name = wire.CanonicalName(name)
		if _, ok := wire.IsDomainName(name); !ok {
			return
		}
		c := check()
		sets := Sets(append(m.Answer, m.Ns...))
		for _, set := range sets {
			set.TTL()
			set.Signer()
			if _, finding := c.Verify(set, keys); finding.Security == dns.Secure {
				t.Fatalf("%s is secure", describe(set))
			}
		}
		if d, _ := c.Denials(sets, keys); d != nil {
			t.Fatal("denials are secure")
		}
		// The proofs themselves, as if all were signed.
		d := &Denials{zone: "example.", weak: secure()}
		for _, set := range sets {
			d.add(set, Proof{}, c)
		}
		d.NXDomain(name)
		d.NoData(name, rrtype)
		d.Wildcard(name, parent(name))
		d.NoDS(name)
		if c.Work.Signatures < -maxSigs*len(sets)*maxSameTag-1 {
			t.Fatal("too much work")
		}
	})
}

// FuzzCompare holds the order of names to its laws.
func FuzzCompare(f *testing.F) {
	f.Add("a.example.", "*.z.example.", `\200.example.`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, n := range []string{a, b, c} {
			if _, ok := wireName(n); !ok {
				return
			}
		}
		if Compare(a, b) > 0 != (Compare(b, a) < 0) {
			t.Fatalf("%q and %q", a, b)
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q, %q, %q", a, b, c)
		}
	})
}

// FuzzAnchors reads what operators write.
func FuzzAnchors(f *testing.F) {
	f.Add(RootAnchors)
	f.Add(rootKeys)
	f.Fuzz(func(t *testing.T, text string) {
		anchors, err := ParseAnchors(text)
		if err == nil && len(anchors) == 0 {
			t.Fatal("no anchors and no error")
		}
	})
}
