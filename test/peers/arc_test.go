//go:build peers

package peers

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/trust/arc"
	"waxwing/trust/dkim"
)

// chained is what both say of a message's chain: they must agree.
func chained(t *testing.T, zone dnstest.Zone, records, text string) arc.Status {
	t.Helper()
	var v arc.Validator
	_, _ = v.Write([]byte(text))
	ours := v.Finish(t.Context(), zone)
	theirs := program(t, text, "/usr/bin/python3", "testdata/verify.py", records)
	if !strings.Contains(theirs, fmt.Sprintf("arc %s ", ours.Status)) {
		t.Errorf("ours: %s, %s; python3-dkim: %s\n%s", ours.Status, ours.Reason, theirs, text)
	}
	return ours.Status
}

// Chains that we and python3-dkim make by turns hold for both, and break for both.
func TestChains(t *testing.T) {
	zone := dnstest.Zone{TXT: map[string][]string{}}
	a := newSigner(t, zone, "list.example")
	block, _ := pem.Decode([]byte(readFile(t, a.key)))
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := dkim.SigningKey{Domain: a.domain, Selector: "sel", Private: private}
	byName := map[string]string{}
	for name, all := range zone.TXT {
		byName[name] = all[0]
	}
	b, err := json.Marshal(byName)
	if err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.json")
	if err := os.WriteFile(records, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, order := range []string{"ot", "toot"} { // ours and theirs
		text, state := letterFrom("a.example", "chain"), arc.None
		if got := chained(t, zone, records, text); got != arc.None {
			t.Errorf("without a chain: %s", got)
		}
		for i, who := range order {
			server := fmt.Sprintf("mx%d.list.example", i)
			results := server + ";\r\n\tdkim=pass header.d=a.example;\r\n\tspf=pass smtp.mailfrom=ann@a.example"
			if state != arc.None {
				results += ";\r\n\tarc=" + string(state)
			}
			text = "Received: by " + server + "; Sun, 22 Nov 2026 03:00:00 +0000\r\n" + strings.Replace(text, "Subject: ", "Subject: [l]  ", 1) + "-- \r\nadded\r\n"
			if who == 't' {
				text = program(t, "Authentication-Results: "+results+"\r\n"+text, "/usr/bin/python3", "testdata/seal.py", a.domain, "sel", a.key, server)
			} else {
				s := arc.NewSealer()
				_, _ = s.Write([]byte(text))
				fields, err := s.Finish(time.Now(), key, state, results)
				if err != nil {
					t.Fatal(err)
				}
				text = string(fields) + text
			}
			if state = chained(t, zone, records, text); state != arc.Pass || strings.Count(text, "ARC-Seal:") != i+1 {
				t.Fatalf("%s, step %d: %s\n%s", order, i, state, text)
			}
		}
		last, first := len(order), strings.Index(text, "ARC-Authentication-Results: i=1;")
		for what, broken := range map[string]string{
			"body":         text + "more\r\n",
			"subject":      strings.Replace(text, "Subject: [l]", "Subject: [m]", 1),
			"results":      strings.Replace(text, "spf=pass", "spf=fail", 1),
			"old results":  text[:first] + strings.Replace(text[first:], "spf=pass", "spf=fail", 1),
			"a seal gone":  strings.Replace(text, "ARC-Seal: i=1;", "X-Seal: i=1;", 1),
			"two seals":    strings.Replace(text, fmt.Sprintf("ARC-Seal: i=%d;", last), fmt.Sprintf("ARC-Seal: i=%d;", last-1), 1),
			"another sets": strings.Replace(text, "cv=none", "cv=pass", 1),
		} {
			if broken == text {
				t.Errorf("%s, %s: nothing is broken", order, what)
			}
			if got := chained(t, zone, records, broken); got != arc.Fail {
				t.Errorf("%s, %s: %s", order, what, got)
			}
		}
	}
}
