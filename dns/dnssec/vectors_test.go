package dnssec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// The files test_sig* are unbound's (BSD licence, beside them): the keys of a
// zone, then records that they have signed.
func TestUnboundSignatures(t *testing.T) {
	// What Go or we do not verify, and why.
	unverified := map[string]string{
		"test_sigs.ed448": "Ed448", "test_sigs.gost": "GOST",
		"test_signatures.4": "DSA", "test_signatures.5": "DSA", "test_signatures.9": "a wildcard that is named in full, twice",
		"test_sigs.sha1_and_256":    "wants good signatures of both algorithms",
		"test_sigs.rsasha256_draft": "a number from a draft", "test_sigs.rsasha512_draft": "a number from a draft",
	}
	files, err := filepath.Glob("testdata/unbound/test_sig*")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	proven := 0
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			messages := readEntries(t, file)
			var keys []key
			for _, set := range Sets(messages[0].records) {
				for _, rr := range set.Records {
					if record, ok := rr.(*wire.DNSKEY); ok {
						if k, ok := parseKey(record, true); ok {
							keys = append(keys, k)
						}
					}
				}
			}
			if len(keys) == 0 {
				t.Skip("no key that is verified with: " + unverified[name])
			}
			for _, m := range messages[1:] {
				for _, set := range Sets(m.records) {
					for _, sig := range set.Sigs {
						if len(set.Records) == 0 || !knows(keys, sig) {
							continue
						}
						c := &Check{Now: time.Unix(int64(sig.Inception), 0).Add(time.Hour), Work: NewWork(), SHA1: true}
						alone := *set
						alone.Sigs = []*wire.RRSIG{sig}
						_, finding := c.Verify(&alone, &Keys{Zone: wire.CanonicalName(sig.SignerName), keys: keys})
						if m.bogus != (finding.Security == dns.Bogus) && unverified[name] == "" {
							t.Errorf("%s: %v", describe(set), finding)
						}
						if finding.Security == dns.Secure {
							proven++
						}
						// Another time, another word: the same must not hold.
						broken := *sig
						broken.OrigTtl++
						alone.Sigs = []*wire.RRSIG{&broken}
						if _, f := c.Verify(&alone, &Keys{Zone: wire.CanonicalName(sig.SignerName), keys: keys}); f.Security != dns.Bogus {
							t.Errorf("%s with another TTL: %v", describe(set), f)
						}
					}
				}
			}
		})
	}
	if proven < 30 {
		t.Errorf("only %d signatures were proven", proven)
	}
}

func knows(keys []key, sig *wire.RRSIG) bool {
	for _, k := range keys {
		if k.tag == sig.KeyTag && k.algorithm == sig.Algorithm {
			return true
		}
	}
	return false
}

// A signedEntry is a message of a file. Those whose question is for a name that
// begins with "bogus" must not hold.
type signedEntry struct {
	records []wire.RR
	bogus   bool
}

func readEntries(t *testing.T, file string) []signedEntry {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []signedEntry
	records := false
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, ";")
		switch line = strings.TrimSpace(line); {
		case line == "ENTRY_BEGIN":
			all, records = append(all, signedEntry{}), false
		case strings.HasPrefix(line, "SECTION"):
			records = !strings.Contains(line, "QUESTION")
		case strings.HasPrefix(line, "bogus") && !records:
			all[len(all)-1].bogus = true
		case line == "" || !records || line == "ENTRY_END":
		default:
			rr, err := wire.NewRR("$TTL 3600\n$ORIGIN .\n" + line)
			if err != nil {
				t.Logf("%s: %v", file, err)
				continue
			}
			all[len(all)-1].records = append(all[len(all)-1].records, rr)
		}
	}
	return all
}
