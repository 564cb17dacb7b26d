package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A signer is a zone that signs, by the library.
type signer struct {
	zone   string
	record *wire.DNSKEY
	key    crypto.Signer
}

func newSigner(t testing.TB, zone string, flags uint16) *signer {
	t.Helper()
	record := &wire.DNSKEY{
		Hdr:   wire.RR_Header{Name: zone, Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: 3600},
		Flags: flags, Protocol: 3, Algorithm: wire.ECDSAP256SHA256,
	}
	private, err := record.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{zone, record, private.(*ecdsa.PrivateKey)}
}

func (s *signer) keys(t testing.TB) *Keys {
	t.Helper()
	k, ok := parseKey(s.record, false)
	if !ok {
		t.Fatal("the key cannot be used")
	}
	return &Keys{Zone: s.zone, keys: []key{k}}
}

// set makes a signed set of records in zone-file form.
func (s *signer) set(t testing.TB, at time.Time, records ...string) *Set {
	t.Helper()
	var rrs []wire.RR
	for _, r := range records {
		rr, err := wire.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return s.sign(t, at, rrs)
}

func (s *signer) sign(t testing.TB, at time.Time, rrs []wire.RR) *Set {
	t.Helper()
	sig := &wire.RRSIG{
		Hdr:       wire.RR_Header{Name: rrs[0].Header().Name, Rrtype: wire.TypeRRSIG, Class: wire.ClassINET, Ttl: 300},
		Algorithm: s.record.Algorithm, KeyTag: s.record.KeyTag(), SignerName: s.zone,
		Inception: uint32(at.Add(-time.Hour).Unix()), Expiration: uint32(at.Add(24 * time.Hour).Unix()),
	}
	if err := sig.Sign(s.key, rrs); err != nil {
		t.Fatal(err)
	}
	all := Sets(append(rrs[:len(rrs):len(rrs)], sig))
	return all[0]
}

func check() *Check { return &Check{Now: today, Work: NewWork()} }

func TestVerify(t *testing.T) {
	s := newSigner(t, "example.", 256)
	for name, tt := range map[string]struct {
		at     time.Time
		change func(*Set)
		want   dns.Security
		reason string
	}{
		"good":           {today, func(*Set) {}, dns.Secure, ""},
		"expired":        {today.Add(-48 * time.Hour), func(*Set) {}, dns.Bogus, "expired"},
		"not yet valid":  {today.Add(48 * time.Hour), func(*Set) {}, dns.Bogus, "valid from"},
		"stripped":       {today, func(s *Set) { s.Sigs = nil }, dns.Bogus, "is not signed"},
		"no records":     {today, func(s *Set) { s.Records = nil }, dns.Bogus, "without records"},
		"another signer": {today, func(s *Set) { s.Sigs[0].SignerName = "other." }, dns.Bogus, "not by its zone"},
		"another key":    {today, func(s *Set) { s.Sigs[0].KeyTag++ }, dns.Bogus, "does not have"},
		"changed":        {today, func(s *Set) { s.Records[0].(*wire.MX).Preference++ }, dns.Bogus, "does not hold"},
		"one left out":   {today, func(s *Set) { s.Records = s.Records[1:] }, dns.Bogus, "does not hold"},
		"one doubled":    {today, func(s *Set) { s.Records = append(s.Records, s.Records[0]) }, dns.Secure, ""},
		"in capitals":    {today, func(s *Set) { s.Records[0].(*wire.MX).Mx = "A.EXAMPLE." }, dns.Secure, ""},
		"another TTL":    {today, func(s *Set) { s.Records[0].Header().Ttl = 5 }, dns.Secure, ""},
		"labels":         {today, func(s *Set) { s.Sigs[0].Labels = 3 }, dns.Bogus, "something else"},
		"unknown":        {today, func(s *Set) { s.Sigs[0].Algorithm = 200 }, dns.Bogus, "not supported"},
		"backwards":      {today, func(s *Set) { s.Sigs[0].Inception = s.Sigs[0].Expiration + 1 }, dns.Bogus, "ends before it begins"},
		"nonsense":       {today, func(s *Set) { s.Sigs[0].Signature = "!" }, dns.Bogus, "cannot be read"},
		"a good one last": {today, func(s *Set) {
			bad := *s.Sigs[0]
			bad.Signature = strings.Repeat("AAAA", 21) + "AA=="
			s.Sigs = append([]*wire.RRSIG{&bad}, s.Sigs...)
		}, dns.Secure, ""},
	} {
		set := s.set(t, tt.at, "mail.example. 300 IN MX 10 a.example.", "mail.example. 300 IN MX 20 b.example.")
		tt.change(set)
		_, finding := check().Verify(set, s.keys(t))
		if finding.Security != tt.want || !strings.Contains(finding.Reason, tt.reason) {
			t.Errorf("%s: %v", name, finding)
		}
	}
}

// The TTL and the time of a proof are the shortest. RFC 4035 §5.3.3
func TestProofTimes(t *testing.T) {
	s := newSigner(t, "example.", 256)
	set := s.set(t, today, "x.example. 300 IN TXT \"a\"")
	set.Records[0].Header().Ttl = 86400
	proof, _ := check().Verify(set, s.keys(t))
	if proof.TTL != 300 || !proof.Until.Equal(today.Add(24*time.Hour+clockSkew)) || proof.Encloser != "" {
		t.Errorf("%+v", proof)
	}
	wild := s.set(t, today, "*.w.example. 300 IN TXT \"a\"")
	wild.Name = "x.y.w.example."
	for _, rr := range wild.Records {
		rr.Header().Name = wild.Name
	}
	if proof, finding := check().Verify(wild, s.keys(t)); finding.Security != dns.Secure || proof.Encloser != "w.example." {
		t.Errorf("from a wildcard: %+v, %v", proof, finding)
	}
}

// KeyTrap (CVE-2023-50387): many keys of one tag and many signatures that fit
// none of them cost a bounded number of verifications.
func TestKeyTrap(t *testing.T) {
	s := newSigner(t, "example.", 256)
	set := s.set(t, today, "x.example. 300 IN TXT \"a\"")
	verified := 0
	keys := &Keys{Zone: "example."}
	for range 500 {
		keys.keys = append(keys.keys, key{
			record: s.record, tag: s.record.KeyTag(), algorithm: s.record.Algorithm,
			verify: func(_, _ []byte) bool { verified++; return false },
		})
	}
	sig := set.Sigs[0]
	for range 500 {
		another := *sig
		set.Sigs = append(set.Sigs, &another)
	}
	c := check()
	if _, finding := c.Verify(set, keys); finding.Security != dns.Bogus {
		t.Errorf("%v", finding)
	}
	if verified > maxSigs*maxSameTag {
		t.Errorf("%d verifications for one set", verified)
	}
	for range 100 {
		c.Verify(set, keys)
	}
	if verified > NewWork().Signatures {
		t.Errorf("%d verifications for one question", verified)
	}
}

// CVE-2023-50868: hashing names many times over ends too.
func TestHashExhaustion(t *testing.T) {
	h := &hashed{zone: "example.", iterations: MaxIterations, hashes: make(map[string]string), work: NewWork()}
	rr, err := wire.NewRR(strings.Repeat("0", 32) + ".example. NSEC3 1 0 150 - " + strings.Repeat("v", 32) + " A")
	if err != nil {
		t.Fatal(err)
	}
	h.records = []*wire.NSEC3{rr.(*wire.NSEC3)}
	for i := range 20 {
		h.nxDomain(strings.Repeat("a.", 100) + fmt.Sprintf("n%d.example.", i))
	}
	if h.work.Hashes >= 0 || len(h.hashes) > 20_000/MaxIterations+1 {
		t.Errorf("%d hashes were made, %d are left", len(h.hashes), h.work.Hashes)
	}
	if f := h.noData("x.example.", wire.TypeA); f.Security != dns.Bogus || !strings.Contains(f.Reason, "too much") {
		t.Errorf("%v", f)
	}
}

func TestKeys(t *testing.T) {
	ksk, zsk := newSigner(t, "example.", 257), newSigner(t, "example.", 256)
	set := ksk.sign(t, today, []wire.RR{ksk.record, zsk.record})
	ds := ksk.record.ToDS(wire.SHA256)
	change := func(f func(*wire.DS)) *wire.DS { c := *ds; f(&c); return &c }
	unknown := change(func(d *wire.DS) { d.Algorithm = 200 })
	digest := change(func(d *wire.DS) { d.DigestType = 77 })
	wrong := change(func(d *wire.DS) { d.Digest = strings.Repeat("ab", 32) })
	sha1 := ksk.record.ToDS(wire.SHA1)
	for name, tt := range map[string]struct {
		ds   []*wire.DS
		want dns.Security
	}{
		"one":                     {[]*wire.DS{ds}, dns.Secure},
		"384":                     {[]*wire.DS{ksk.record.ToDS(wire.SHA384)}, dns.Secure},
		"an unknown one beside":   {[]*wire.DS{unknown, digest, ds}, dns.Secure},
		"wrong":                   {[]*wire.DS{wrong}, dns.Bogus},
		"a wrong one beside":      {[]*wire.DS{wrong, ds}, dns.Secure},
		"unknown algorithm":       {[]*wire.DS{unknown}, dns.Insecure},
		"unknown digest":          {[]*wire.DS{digest}, dns.Insecure},
		"SHA-1 only":              {[]*wire.DS{sha1}, dns.Insecure}, // RFC 9905
		"SHA-1 beside wrong":      {[]*wire.DS{sha1, wrong}, dns.Bogus},
		"of the key that signs":   {[]*wire.DS{zsk.record.ToDS(wire.SHA256)}, dns.Bogus}, // it has not signed the keys
		"nothing that we can use": {nil, dns.Insecure},
	} {
		keys, finding := check().Keys(set, tt.ds)
		if finding.Security != tt.want || (keys != nil) != (tt.want == dns.Secure) {
			t.Errorf("%s: %v", name, finding)
		}
	}
	keys, _ := check().Keys(set, []*wire.DS{ds})
	if _, finding := check().Verify(zsk.set(t, today, "x.example. 300 IN A 192.0.2.1"), keys); finding.Security != dns.Secure {
		t.Errorf("signed by the other key: %v", finding)
	}
}

// RFC 4034 §6.1 has this list.
func TestCompare(t *testing.T) {
	order := []string{
		"example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example.",
		`\001.z.example.`, "*.z.example.", `\200.z.example.`,
	}
	for i, a := range order {
		for j, b := range order {
			if got := Compare(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("Compare(%s, %s) = %d", a, b, got)
			}
		}
	}
	if Compare("Z.example.", "z.EXAMPLE.") != 0 {
		t.Error("case matters")
	}
}

func TestAnchors(t *testing.T) {
	root, err := ParseAnchors(RootAnchors)
	if err != nil || len(root["."]) != 2 {
		t.Fatalf("%v, %v", root, err)
	}
	// The keys themselves, as the root has them.
	keys, err := ParseAnchors(rootKeys)
	if err != nil {
		t.Fatal(err)
	}
	for i, ds := range keys["."] {
		if ds.KeyTag != root["."][i].KeyTag || !strings.EqualFold(ds.Digest, root["."][i].Digest) {
			t.Errorf("key %d: %s, built in is %s", ds.KeyTag, ds.Digest, root["."][i].Digest)
		}
	}
	for _, bad := range []string{"", "; nothing", ". IN DS nonsense", ". IN A 192.0.2.1", ". IN DNSKEY 256 3 99 AAAA"} {
		if _, err := ParseAnchors(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

const rootKeys = `
. IN DNSKEY 257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=
. IN DNSKEY 257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=
`

// What an absence takes to be proven, by NSEC: the zone of RFC 4035 A in small.
func TestDenials(t *testing.T) {
	s := newSigner(t, "example.", 256)
	apex := "example. 300 IN NSEC ai.example. NS SOA RRSIG NSEC DNSKEY"
	ai := "ai.example. 300 IN NSEC b.example. A RRSIG NSEC"
	b := "b.example. 300 IN NSEC x.ent.example. NS RRSIG NSEC" // an unsigned delegation
	w := "*.w.example. 300 IN NSEC xx.example. MX RRSIG NSEC"
	xx := "xx.example. 300 IN NSEC example. A CNAME RRSIG NSEC"
	denials := func(records ...string) *Denials {
		var sets []*Set
		for _, r := range records {
			sets = append(sets, s.set(t, today, r))
		}
		d, finding := check().Denials(sets, s.keys(t))
		if d == nil {
			t.Fatal(finding)
		}
		return d
	}
	const no, yes = dns.Bogus, dns.Secure
	for name, tt := range map[string]struct {
		got  dns.Finding
		want dns.Security
	}{
		"no name":                     {denials(ai, apex).NXDomain("an.example."), yes},
		"no name, wildcard open":      {denials(ai).NXDomain("an.example."), no},
		"name of another span":        {denials(apex).NXDomain("an.example."), no},
		"last span":                   {denials(xx, apex).NXDomain("zz.example."), yes},
		"below a delegation":          {denials(b, apex).NXDomain("sub.b.example."), no},
		"an empty name":               {denials(b, apex).NXDomain("ent.example."), no},
		"no data":                     {denials(ai).NoData("ai.example.", wire.TypeMX), yes},
		"data withheld":               {denials(ai).NoData("ai.example.", wire.TypeA), no},
		"alias withheld":              {denials(xx).NoData("xx.example.", wire.TypeMX), no},
		"empty has no data":           {denials(b).NoData("ent.example.", wire.TypeA), yes},
		"parent's side of a cut":      {denials(b).NoData("b.example.", wire.TypeMX), no},
		"child's side for DS":         {denials(apex).NoData("example.", wire.TypeDS), no},
		"wildcard has no such data":   {denials(w).NoData("any.w.example.", wire.TypeA), yes},
		"wildcard has it":             {denials(w).NoData("any.w.example.", wire.TypeMX), no},
		"name has a wildcard":         {denials(w).NXDomain("any.w.example."), no},
		"beside the wildcard":         {denials(w).Wildcard("any.w.example.", "w.example."), yes},
		"wildcard of a name too high": {denials(w).Wildcard("any.w.example.", "example."), no},
		"wildcard, name not spanned":  {denials(ai).Wildcard("any.w.example.", "w.example."), no},
		"a name of another zone":      {denials(apex, ai).NXDomain("an.other."), no},
	} {
		if tt.got.Security != tt.want {
			t.Errorf("%s: %v", name, tt.got)
		}
	}
	for name, tt := range map[string]struct {
		d    *Denials
		at   string
		want Cut
	}{
		"unsigned":  {denials(b), "b.example.", Unsigned},
		"inside":    {denials(ai), "ai.example.", NoCut},
		"empty":     {denials(b), "ent.example.", NoCut},
		"nothing":   {denials(ai), "an.example.", NoCut},
		"unproven":  {denials(ai), "xyz.example.", NoProof},
		"of itself": {denials(apex), "example.", NoProof},
	} {
		if cut, _ := tt.d.NoDS(tt.at); cut != tt.want {
			t.Errorf("%s: %d", name, cut)
		}
	}
}
