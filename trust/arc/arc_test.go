package arc

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/trust/dkim"
)

// crlfs gives a text with the line ends that mail has.
func crlfs(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// Chains of Google and others, as stalwartlabs/mail-auth has gathered them.
func TestPublished(t *testing.T) {
	for _, name := range []string{"001", "002"} {
		b, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		keys, message, _ := bytes.Cut(crlfs(b), []byte("\r\n\r\n"))
		z := dnstest.Zone{TXT: map[string][]string{}}
		for line := range strings.SplitSeq(string(keys), "\r\n") {
			owner, record, _ := strings.Cut(line, " ")
			z.TXT[strings.ToLower(owner)] = []string{record}
		}
		v := validate(t, z, message)
		if v.Status != Pass || len(v.Links) == 0 || v.Dead {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func validate(t testing.TB, z dnstest.Zone, message []byte) Verdict {
	t.Helper()
	var v Validator
	_, _ = v.Write(message)
	return v.Finish(t.Context(), z)
}

var private = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func house(t testing.TB) (dkim.SigningKey, dnstest.Zone) {
	t.Helper()
	key, err := private()
	if err != nil {
		t.Fatal(err)
	}
	k := dkim.SigningKey{Domain: "example.org", Selector: "arc", Private: key}
	record, err := k.Record()
	if err != nil {
		t.Fatal(err)
	}
	return k, dnstest.Zone{TXT: map[string][]string{"arc._domainkey.example.org": {record}}}
}

const letter = "From: ann@example.net\r\nSubject: hello\r\nDKIM-Signature: v=1\r\n\r\nHello\r\n"

// seal adds a set.
func seal(t testing.TB, k dkim.SigningKey, m []byte, came Status) []byte {
	t.Helper()
	s := NewSealer()
	_, _ = s.Write(m)
	fields, err := s.Finish(time.Unix(1e9, 0), k, came, "mx.example.org;\r\n\tspf=pass smtp.mailfrom=example.net")
	if err != nil {
		t.Fatal(err)
	}
	return append(fields, m...)
}

func TestSeal(t *testing.T) {
	k, z := house(t)
	m := []byte(letter)
	came := None
	for n := 1; n <= 4; n++ {
		m = seal(t, k, m, came)
		v := validate(t, z, m)
		if came = v.Status; came != Pass || len(v.Links) != n || v.Links[n-1].Domain != "example.org" ||
			!strings.HasSuffix(v.Links[n-1].Results, "spf=pass smtp.mailfrom=example.net") {
			t.Fatalf("%+v\n%s", v, m)
		}
		m = append([]byte("Received: somewhere\r\n"), m...)
	}
	text := string(m)
	for what, changed := range map[string]string{
		"body":          text + "more",
		"subject":       strings.Replace(text, "hello", "goodbye", 1),
		"results":       strings.Replace(text, "spf=pass", "spf=fail", 1),
		"state":         strings.Replace(text, "cv=none", "cv=pass", 1),
		"gone":          strings.Replace(text, "ARC-Seal: i=2", "X-ARC-Seal: i=2", 1),
		"twice":         "ARC-Seal: i=2; cv=pass; a=rsa-sha256; d=a.b; s=c; b=AA\r\n" + text,
		"too high":      "ARC-Seal: i=51; cv=pass; a=rsa-sha256; d=a.b; s=c; b=AA\r\n" + text,
		"no number":     "ARC-Authentication-Results: mx; spf=pass\r\n" + text,
		"no tags":       "ARC-Message-Signature: hello\r\n" + text,
		"a second From": "From: eve@example.com\r\n" + text,
		"signed fields": strings.Replace(text, "ARC-Seal: i=4;", "ARC-Seal: i=4; h=from;", 1),
	} {
		if v := validate(t, z, []byte(changed)); v.Status != Fail || v.Reason == "" {
			t.Errorf("%s: %+v", what, v)
		}
	}
	if v := validate(t, dnstest.Zone{}, m); v.Status != Fail {
		t.Errorf("without keys: %+v", v)
	}
	if v := validate(t, z, []byte(letter)); v.Status != None || v.Reason != "" {
		t.Errorf("without a chain: %+v", v)
	}
}

// A broken chain is marked once, and then left alone. RFC 8617 §5.1
func TestBroken(t *testing.T) {
	k, z := house(t)
	for what, m := range map[string]string{
		"changed":    strings.Replace(string(seal(t, k, []byte(letter), None)), "Hello", "Hallo", 1),
		"incomplete": "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=a.b; s=c; b=AA\r\n" + letter,
	} {
		v := validate(t, z, []byte(m))
		if v.Status != Fail {
			t.Fatalf("%s: %+v", what, v)
		}
		marked := seal(t, k, []byte(m), v.Status)
		if !bytes.HasPrefix(marked, []byte("ARC-Seal: i=2;")) || !bytes.Contains(marked, []byte("cv=fail")) {
			t.Errorf("%s: %s", what, marked)
		}
		if v = validate(t, z, marked); v.Status != Fail {
			t.Errorf("%s: %+v", what, v)
		}
	}
	marked := seal(t, k, []byte(strings.Replace(string(seal(t, k, []byte(letter), None)), "Hello", "Hallo", 1)), Fail)
	if v := validate(t, z, marked); !v.Dead {
		t.Errorf("%+v", v)
	}
	s := NewSealer()
	_, _ = s.Write(marked)
	if _, err := s.Finish(time.Unix(1e9, 0), k, Fail, "mx"); err != ErrNothingToAdd {
		t.Error(err)
	}
	s = NewSealer()
	_, _ = s.Write([]byte(letter))
	if _, err := s.Finish(time.Unix(1e9, 0), k, Pass, "mx"); err == nil {
		t.Error("a chain that is not there has passed")
	}
}

func FuzzValidate(f *testing.F) {
	k, z := house(f)
	m := seal(f, k, []byte(letter), None)
	f.Add(seal(f, k, m, Pass), 9)
	f.Add([]byte("ARC-Seal: i=1; cv=none\r\nARC-Authentication-Results: i=1;\r\nARC-Message-Signature: i=1\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, m []byte, at int) {
		v := validate(t, z, m)
		var w Validator
		at = min(max(at, 0), len(m))
		_, _ = w.Write(m[:at])
		_, _ = w.Write(m[at:])
		if again := w.Finish(t.Context(), z); fmt.Sprint(v) != fmt.Sprint(again) {
			t.Errorf("%+v, in two: %+v", v, again)
		}
		s := NewSealer()
		_, _ = s.Write(m)
		_, _ = s.Finish(time.Unix(1e9, 0), k, v.Status, "mx")
	})
}
