package dane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
)

// A vector is one case of OpenSSL's test of DANE.
type vector struct {
	number  int
	about   string
	records []dns.TLSA
	chain   []*x509.Certificate
	result  int // 0 for verified
	err     error
}

// readVectors reads danetest.in; its head says how it is written.
func readVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/danetest.in")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	lines := strings.Split(string(text), "\n")
	about := ""
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || strings.HasPrefix(line, "#") {
			about = strings.TrimSpace(strings.TrimLeft(line, "# "))
			continue
		}
		v := vector{number: len(all) + 1, about: about}
		var records, certs, names, depth int
		if _, err := fmt.Sscan(line, &records, &certs, &names, &v.result, &depth); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		for range records {
			i++
			var r dns.TLSA
			var data string
			if _, err := fmt.Sscan(lines[i], &r.Usage, &r.Selector, &r.Matching, &data); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			if r.Data, err = hex.DecodeString(data); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			v.records = append(v.records, r)
		}
		rest := []byte(strings.Join(lines[i+1:], "\n"))
		for range certs {
			block, after := pem.Decode(rest)
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				v.err = err
			} else {
				v.chain = append(v.chain, c)
			}
			i += bytes.Count(rest[:len(rest)-len(after)], []byte("\n"))
			rest = after
		}
		all = append(all, v)
	}
	return all
}

// TestVectors runs OpenSSL's cases. Those with the usages of public authorities,
// which count nothing between mail servers, must have no usable record.
func TestVectors(t *testing.T) {
	all := readVectors(t)
	if len(all) != 54 {
		t.Fatalf("%d cases, want 54", len(all))
	}
	at := time.Date(2016, 1, 10, 0, 0, 0, 0, time.UTC)
	for _, v := range all {
		t.Run(fmt.Sprint(v.number), func(t *testing.T) {
			if v.err != nil {
				t.Fatalf("%s: %v", v.about, v.err)
			}
			usable := Usable(v.records)
			if len(usable) == 0 {
				for _, r := range v.records {
					if r.Usage >= usageTA {
						t.Errorf("%s: %s is not usable", v.about, Format(r))
					}
				}
				return
			}
			_, err := Verify(at, usable, v.chain, []string{"example.com"})
			want := v.result == 0
			switch v.number {
			case 54:
				want = true // RFC 7672 §3.2.1: no names with DANE-EE
			}
			if (err == nil) != want {
				t.Errorf("%s: %v, want verified %v (%d)", v.about, err, want, v.result)
			}
		})
	}
}

// A maker makes certificates.
type maker struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// make makes a certificate under another; under nobody if that is nil.
func (m *maker) make(name string, ca bool, names []string, until time.Time) *maker {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: names,
		NotBefore: began, NotAfter: until, BasicConstraintsValid: true, IsCA: ca,
	}
	parent, signer := template, key
	if m.cert != nil {
		parent, signer = m.cert, m.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return &maker{m.t, c, key}
}

// record names a certificate.
func record(usage, selector, matching uint8, c *x509.Certificate) dns.TLSA {
	data := c.Raw
	if selector == selectKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case matchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func TestVerify(t *testing.T) {
	later := began.AddDate(1, 0, 0)
	now := began.AddDate(0, 1, 0)
	nobody := &maker{t: t}
	root := nobody.make("root", true, nil, later)
	issuer := root.make("issuer", true, nil, later)
	leaf := issuer.make("mx.example.org", false, []string{"mx.example.org", "*.wild.example"}, later)
	old := issuer.make("old", false, []string{"mx.example.org"}, began.AddDate(0, 0, 1))
	plain := issuer.make("mx.example.org", false, nil, later) // a name, but no DNS-ID
	other := nobody.make("mx.example.org", true, []string{"mx.example.org"}, later)
	chain := func(m ...*maker) (all []*x509.Certificate) {
		for _, one := range m {
			all = append(all, one.cert)
		}
		return all
	}
	full := chain(leaf, issuer, root)
	type records []dns.TLSA
	for name, tt := range map[string]struct {
		records records
		chain   []*x509.Certificate
		names   []string
		want    Failure // 0 for verified
	}{
		"key of the leaf":             {records{record(3, 1, 1, leaf.cert)}, full, nil, 0},
		"leaf, alone":                 {records{record(3, 0, 2, leaf.cert)}, chain(leaf), nil, 0},
		"leaf, of another name":       {records{record(3, 0, 1, leaf.cert)}, full, []string{"other.example"}, 0},
		"leaf, expired":               {records{record(3, 1, 1, old.cert)}, chain(old), nil, 0},
		"another leaf":                {records{record(3, 1, 1, other.cert)}, full, nil, NoMatch},
		"rollover, new one first":     {records{record(3, 1, 1, other.cert), record(3, 1, 1, leaf.cert)}, full, nil, 0},
		"authority as leaf":           {records{record(3, 1, 1, issuer.cert)}, full, nil, NoMatch},
		"issuer":                      {records{record(2, 0, 1, issuer.cert)}, full, []string{"mx.example.org"}, 0},
		"issuer, root not shown":      {records{record(2, 1, 1, issuer.cert)}, chain(leaf, issuer), []string{"mx.example.org"}, 0},
		"root":                        {records{record(2, 0, 2, root.cert)}, full, []string{"mx.example.org"}, 0},
		"root, not shown":             {records{record(2, 0, 2, root.cert)}, chain(leaf, issuer), []string{"mx.example.org"}, NoMatch},
		"root, in the record":         {records{record(2, 0, 0, root.cert)}, chain(leaf, issuer), []string{"mx.example.org"}, 0},
		"root's key, in the record":   {records{record(2, 1, 0, root.cert)}, chain(leaf, issuer), []string{"mx.example.org"}, 0},
		"issuer's key, in the record": {records{record(2, 1, 0, issuer.cert)}, chain(leaf), []string{"mx.example.org"}, 0},
		"another's key, in the record": {
			records{record(2, 1, 0, other.cert)}, chain(leaf, issuer), []string{"mx.example.org"}, Untrusted,
		},
		"issuer missing":          {records{record(2, 0, 1, root.cert)}, chain(leaf, root), []string{"mx.example.org"}, Untrusted},
		"authority, not above":    {records{record(2, 0, 1, other.cert)}, chain(leaf, issuer, other), []string{"mx.example.org"}, Untrusted},
		"second name":             {records{record(2, 0, 1, root.cert)}, full, []string{"a.example", "MX.Example.ORG."}, 0},
		"wrong name":              {records{record(2, 0, 1, root.cert)}, full, []string{"a.example"}, WrongName},
		"wildcard":                {records{record(2, 0, 1, root.cert)}, full, []string{"a.wild.example"}, 0},
		"wildcard is one label":   {records{record(2, 0, 1, root.cert)}, full, []string{"a.b.wild.example"}, WrongName},
		"wildcard is a label":     {records{record(2, 0, 1, root.cert)}, full, []string{"wild.example"}, WrongName},
		"common name":             {records{record(2, 0, 1, root.cert)}, chain(plain, issuer, root), []string{"mx.example.org"}, 0},
		"expired":                 {records{record(2, 0, 1, root.cert)}, chain(old, issuer, root), []string{"mx.example.org"}, Expired},
		"no certificate":          {records{record(3, 1, 1, leaf.cert)}, nil, nil, NoMatch},
		"one of two names it":     {records{record(2, 0, 1, other.cert), record(2, 0, 1, root.cert)}, full, []string{"mx.example.org"}, 0},
		"full beside a digest":    {records{record(3, 1, 0, leaf.cert), record(3, 1, 2, other.cert)}, full, nil, 0},
		"no names, no authority":  {records{record(2, 0, 1, root.cert)}, full, nil, WrongName},
		"self-signed as its root": {records{record(2, 0, 1, other.cert)}, chain(other), []string{"mx.example.org"}, NoMatch},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Verify(now, Usable(tt.records), tt.chain, tt.names)
			var failed *Error
			got := Failure(0)
			if errors.As(err, &failed) {
				got = failed.Failure
			}
			if got != tt.want || (err == nil) != (tt.want == 0) {
				t.Errorf("%v (%d), want %d", err, got, tt.want)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	c := (&maker{t: t}).make("x", true, nil, began.AddDate(1, 0, 0)).cert
	for name, tt := range map[string]struct {
		records []dns.TLSA
		want    string
	}{
		"public authorities":  {[]dns.TLSA{record(0, 0, 1, c), record(1, 1, 1, c)}, ""},
		"unknown usage":       {[]dns.TLSA{record(4, 0, 1, c), record(255, 0, 1, c)}, ""},
		"unknown selector":    {[]dns.TLSA{{Usage: 3, Selector: 2, Matching: 1, Data: make([]byte, 32)}}, ""},
		"unknown matching":    {[]dns.TLSA{{Usage: 3, Selector: 1, Matching: 3, Data: make([]byte, 48)}}, ""},
		"short digest":        {[]dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 31)}}, ""},
		"digest of the other": {[]dns.TLSA{{Usage: 3, Selector: 1, Matching: 2, Data: make([]byte, 32)}}, ""},
		"not a certificate":   {[]dns.TLSA{{Usage: 2, Selector: 0, Matching: 0, Data: []byte("no")}}, ""},
		"not a key":           {[]dns.TLSA{{Usage: 3, Selector: 1, Matching: 0, Data: c.Raw}}, ""},
		"all kinds": {
			[]dns.TLSA{record(2, 0, 0, c), record(2, 1, 1, c), record(3, 0, 2, c), record(3, 1, 0, c)}, "200 211 302 310",
		},
		// RFC 7671 §9: the weaker digest is ignored beside the stronger one, of
		// the same usage and selector.
		"agility":              {[]dns.TLSA{record(3, 1, 1, c), record(3, 1, 2, c), record(3, 0, 1, c), record(2, 1, 1, c)}, "312 301 211"},
		"agility, full":        {[]dns.TLSA{record(3, 1, 0, c), record(3, 1, 1, c)}, "310 311"},
		"agility, unusable":    {[]dns.TLSA{record(3, 1, 1, c), {Usage: 3, Selector: 1, Matching: 2, Data: []byte{1}}}, "311"},
		"none":                 {nil, ""},
		"unusable among them":  {[]dns.TLSA{record(1, 1, 1, c), record(3, 1, 1, c)}, "311"},
		"far too many of them": {many(record(3, 1, 1, c), 500), strings.TrimSpace(strings.Repeat("311 ", maxUsable))},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Usable(tt.records) {
				got = append(got, fmt.Sprintf("%d%d%d", r.Usage, r.Selector, r.Matching))
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("%q, want %q", text, tt.want)
			}
		})
	}
}

func many(r dns.TLSA, n int) (all []dns.TLSA) {
	for range n {
		all = append(all, r)
	}
	return all
}

// FuzzVerify: records are a stranger's words, and so is the chain; a record that
// is usable and names the leaf verifies.
func FuzzVerify(f *testing.F) {
	m := (&maker{t: f}).make("mx.example.org", true, []string{"mx.example.org"}, began.AddDate(1, 0, 0))
	f.Add(uint8(3), uint8(1), uint8(0), m.cert.RawSubjectPublicKeyInfo)
	f.Add(uint8(2), uint8(0), uint8(0), m.cert.Raw)
	f.Add(uint8(2), uint8(1), uint8(0), m.cert.RawSubjectPublicKeyInfo)
	f.Add(uint8(3), uint8(1), uint8(1), make([]byte, 32))
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
		usable := Usable([]dns.TLSA{r})
		if Format(r) == "" {
			t.Fatal("no text")
		}
		if len(usable) == 0 {
			return
		}
		got, err := Verify(began, usable, []*x509.Certificate{m.cert}, []string{"mx.example.org"})
		if err == nil && got.Usage == usageEE && !matches(got, m.cert) {
			t.Fatalf("%s names the certificate?", Format(got))
		}
	})
}
