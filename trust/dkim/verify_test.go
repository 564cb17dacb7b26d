package dkim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns/dnstest"
)

// crlfs gives a text with the line ends that mail has.
func crlfs(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, crlf, []byte("\n")), []byte("\n"), crlf)
}

// published reads a file of mail-auth's: keys, an empty line, a message.
func published(t testing.TB, path string) (dnstest.Zone, []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, message, _ := bytes.Cut(crlfs(b), []byte("\r\n\r\n"))
	z := dnstest.Zone{TXT: map[string][]string{}, Authentic: true}
	for line := range strings.SplitSeq(string(keys), "\r\n") {
		name, record, _ := strings.Cut(line, " ")
		z.TXT[strings.ToLower(name)] = []string{record}
	}
	return z, message
}

func verify(t testing.TB, z dnstest.Zone, message []byte, now time.Time) []Result {
	t.Helper()
	var v Verifier
	_, _ = v.Write(message)
	return v.Finish(t.Context(), z, now)
}

// Messages of several senders, as stalwartlabs/mail-auth has gathered them.
func TestPublished(t *testing.T) {
	files, _ := filepath.Glob("testdata/mail-auth/*.txt")
	for _, file := range files {
		if strings.Contains(file, "LICENSE") {
			continue
		}
		z, message := published(t, file)
		results := verify(t, z, message, time.Unix(1667843664, 0))
		if len(results) == 0 {
			t.Errorf("%s: no signature", file)
		}
		for _, r := range results {
			if r.Status != Pass || !r.Authentic {
				t.Errorf("%s: %+v", file, r)
			}
		}
	}
}

// footballs are the keys of RFC 6376 and RFC 8463 Appendix A.
func footballs() dnstest.Zone {
	return dnstest.Zone{TXT: map[string][]string{
		"brisbane._domainkey.football.example.com": {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
		"test._domainkey.football.example.com":     {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
	}}
}

func message(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return crlfs(b)
}

// RFC 8463 Appendix A
func TestExample(t *testing.T) {
	m := message(t, "mimekit/rfc8463-example.msg")
	for i, r := range verify(t, footballs(), m, time.Unix(1528637909, 0)) {
		if r.Status != Pass || r.Identity != "@football.example.com" || r.KeyBits != []int{256, 1024}[i] {
			t.Errorf("%+v", r)
		}
	}
}

// Keys that are not keys, and what else keeps a signature from being believed.
func TestKeys(t *testing.T) {
	m := message(t, "mimekit/rfc8463-example.msg")
	file := func(name string) string { return string(bytes.TrimSpace(message(t, name))) }
	good := footballs().TXT["test._domainkey.football.example.com"][0]
	for record, want := range map[string]Status{
		good:                              Pass,
		good + "; t=s:y":                  Pass,
		good + "; h=sha1:sha256; s=a:*":   Pass,
		"x=y; k=rsa; p=":                  PermError,
		good + "; h=sha1":                 PermError,
		good + "; v=DKIM1":                PermError, // twice
		"k=rsa; v=DKIM1" + good[8:]:       PermError, // not the first
		"v=DKIM1; k=rsa; p=%%%":           PermError,
		"v=DKIM1; k=ed25519; p=" + "AAAA": PermError,
		footballs().TXT["brisbane._domainkey.football.example.com"][0]: PermError,
		file("dkimpy/badversion.txt"):                                  PermError,
		file("dkimpy/badk.txt"):                                        PermError,
		file("dkimpy/test_tlsrpt.txt"):                                 PermError,
		file("dkimpy/test_bad.txt"):                                    PermError,
	} {
		z := footballs()
		z.TXT["test._domainkey.football.example.com"] = []string{record}
		if r := verify(t, z, m, time.Unix(1528637909, 0)); r[1].Status != want || r[0].Status != Pass {
			t.Errorf("%s: %+v, want %s", record, r[1], want)
		}
	}
	z := footballs()
	z.Fail = map[string]bool{"test._domainkey.football.example.com": true}
	delete(z.TXT, "brisbane._domainkey.football.example.com")
	if r := verify(t, z, m, time.Unix(1528637909, 0)); r[0].Status != PermError || r[1].Status != TempError {
		t.Errorf("%+v", r)
	}
}

// rivest makes an RSA key for all tests, since that takes long.
var rivest = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// pairs makes a key of each type, and publishes them.
func pairs(t testing.TB) ([]SigningKey, dnstest.Zone) {
	t.Helper()
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	rivest, err := rivest()
	if err != nil {
		t.Fatal(err)
	}
	keys := []SigningKey{{"example.org", "e1", edwards}, {"example.org", "r1", rivest}}
	z := dnstest.Zone{TXT: map[string][]string{}}
	for _, k := range keys {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		z.TXT[k.Selector+"._domainkey.example.org"] = []string{record}
	}
	return keys, z
}

const letter = "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: a  long\r\n\tsubject \r\n" +
	"Received: one\r\nList-Id: <l.example.org>\r\n\r\nHello,  Bob \t\r\n. \r\n\r\nBye\r\n\r\n\r\n"

func sign(t testing.TB, text string, keys []SigningKey) []byte {
	t.Helper()
	s := NewSigner()
	_, _ = s.Write([]byte(text))
	fields, err := s.Finish(time.Unix(1e9, 0), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return append(fields, text...)
}

func TestSign(t *testing.T) {
	keys, z := pairs(t)
	signed := sign(t, letter, keys)
	header, _, _ := bytes.Cut(signed, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(header, crlf) {
		if len(line) > 78 {
			t.Errorf("a long line: %s", line)
		}
	}
	now := time.Unix(1e9, 0)
	for what, tt := range map[string]struct {
		m    string
		want Status
	}{
		"as it was":             {string(signed), Pass},
		"a field before it":     {"Received: two\r\n" + string(signed), Pass},
		"white space":           {strings.Replace(string(signed), "Hello,  Bob \t\r\n", "Hello, Bob\r\n", 1), Pass},
		"folded":                {strings.Replace(string(signed), "a  long\r\n\tsubject ", "a\r\n long subject", 1), Pass},
		"empty lines":           {strings.TrimRight(string(signed), "\r\n"), Pass},
		"another word":          {strings.Replace(string(signed), "Bye", "Buy", 1), Fail},
		"another subject":       {strings.Replace(string(signed), "subject ", "object ", 1), Fail},
		"a second From":         {"From: eve@example.com\r\n" + string(signed), Fail},
		"a Reply-To":            {"Reply-To: eve@example.com\r\n" + string(signed), Fail},
		"another domain signs":  {strings.ReplaceAll(string(signed), "d=example.org", "d=example.com"), PermError},
		"an identity elsewhere": {strings.ReplaceAll(string(signed), "d=example.org;", "d=example.org; i=a@other.org;"), PermError},
	} {
		for _, r := range verify(t, z, []byte(tt.m), now) {
			if r.Status != tt.want {
				t.Errorf("%s: %+v", what, r)
			}
		}
	}
}

// Signatures that hold and prove too little.
func TestPolicy(t *testing.T) {
	keys, z := pairs(t)
	now := time.Unix(1e9, 0)
	// RFC 8301 §3.2
	t.Setenv("GODEBUG", "rsa1024min=0")
	short, err := rsa.GenerateKey(rand.Reader, 768)
	if err != nil {
		t.Fatal(err)
	}
	weak := SigningKey{"example.org", "short", short}
	record, err := weak.Record()
	if err != nil {
		t.Fatal(err)
	}
	z.TXT["short._domainkey.example.org"] = []string{record}
	if r := verify(t, z, sign(t, letter, []SigningKey{weak}), now); r[0].Status != Policy {
		t.Errorf("768 bits: %+v", r[0])
	}
	// A signature of a part of the body.
	part := func(length string, body string) Result {
		s := NewSigner()
		_, _ = s.Write([]byte(letter))
		s.body.Finish()
		header := ParseHeader(s.head.Octets)
		names := ToSign(header)
		h := NewBody(Relaxed)
		b := h.at(10)
		h.Write([]byte(letter[len(s.head.Octets):]))
		h.Finish()
		field := []byte(fmt.Sprintf("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=e1;\r\n"+
			" l=%s; h=%s; bh=%s; b=", length, strings.Join(names, ":"), base64Of(b.sum)))
		sum, err := signDigest(keys[0].Private, HeaderDigest(header, field, Signature{Header: Relaxed, Headers: names}))
		if err != nil {
			t.Fatal(err)
		}
		field = append(field, base64Of(sum)+"\r\n"...)
		return verify(t, z, append(append(field, s.head.Octets...), body...), now)[0]
	}
	body := letter[strings.Index(letter, "Hello"):]
	for _, tt := range []struct {
		length, body string
		want         Status
	}{
		{"10", body, Policy},
		{"10", "Hello, Bob", Policy}, // with its line end it has two more
		{"10", "Hello, Bo", Fail},
		{"10", "Hello", PermError},
		{"99999999999999999999999", body, PermError},
		{"x", body, PermError},
	} {
		if r := part(tt.length, tt.body); r.Status != tt.want {
			t.Errorf("%+v: %+v", tt, r)
		}
	}
}

// However a message is cut into writes, and whatever its body is, what is signed
// is what is verified.
func TestWrites(t *testing.T) {
	keys, z := pairs(t)
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for range 200 {
		body := make([]byte, rng.IntN(60))
		for i := range body {
			body[i] = "\r\n\r\n \tab"[rng.IntN(8)]
		}
		text := letter[:strings.Index(letter, "Hello")] + string(body)
		whole := sign(t, text, keys[:1])
		var v Verifier
		for rest := whole; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			_, _ = v.Write(rest[:n])
			rest = rest[n:]
		}
		if r := v.Finish(t.Context(), z, time.Unix(1e9, 0)); len(r) != 1 || r[0].Status != Pass {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

// RFC 6376 §3.4.5
func TestCanonical(t *testing.T) {
	const body = " C \r\nD \t E\r\n\r\n\r\n"
	for form, want := range map[Form]string{Relaxed: " C\r\nD E\r\n", Simple: " C \r\nD \t E\r\n"} {
		for _, cut := range []int{0, 1, 3, 4, 5, 10} {
			h := NewBody(form)
			out := new(bytes.Buffer)
			h.full = tee{h.full, out}
			h.Write([]byte(body[:cut]))
			h.Write([]byte(body[cut:]))
			h.Finish()
			if out.String() != want {
				t.Errorf("%s: %q", form, out)
			}
		}
	}
	for form, want := range map[Form]string{Relaxed: "a:X\r\nb:Y Z", Simple: "A: X\r\nB : Y\t\r\n\tZ  "} {
		b := append(form.AppendField(nil, []byte("A: X\r\n")), crlf...)
		if b = form.AppendField(b, []byte("B : Y\t\r\n\tZ  \r\n")); string(b) != want {
			t.Errorf("%s: %q", form, b)
		}
	}
}

func TestMany(t *testing.T) {
	keys, z := pairs(t)
	m := sign(t, letter, keys[:1])
	field := m[:len(m)-len(letter)]
	if r := verify(t, z, append(bytes.Repeat(field, 100), m...), time.Unix(1e9, 0)); len(r) != MaxSignatures {
		t.Errorf("%d results", len(r))
	}
	var v Verifier
	for range MaxHeader/1000 + 2 {
		_, _ = v.Write([]byte("X-Long: " + strings.Repeat("x", 1000) + "\r\n"))
	}
	_, _ = v.Write(m)
	if r := v.Finish(t.Context(), z, time.Unix(1e9, 0)); len(r) != 0 || !v.own.TooLarge() || len(v.own.Header().fields) != 0 {
		t.Errorf("%+v", r)
	}
}

func FuzzVerify(f *testing.F) {
	keys, z := pairs(f)
	f.Add(sign(f, letter, keys), 7)
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; b=a; bh=b; d=example.org; s=r1; h=from\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, m []byte, cut int) {
		var v, w Verifier
		_, _ = v.Write(m)
		cut = min(max(cut, 0), len(m))
		_, _ = w.Write(m[:cut])
		_, _ = w.Write(m[cut:])
		now := time.Unix(1e9, 0)
		a, b := v.Finish(t.Context(), z, now), w.Finish(t.Context(), z, now)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("whole: %+v, in two: %+v", a, b)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=; t=y:s; h=sha256")
	f.Fuzz(func(t *testing.T, record string) {
		k, err := ParseKey(record)
		if (err == nil) != (k.Public != nil) {
			t.Errorf("%v, %v", k, err)
		}
	})
}
