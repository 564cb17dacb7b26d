// Package test holds what is true of the house as a whole. This file draws
// the arrows: imports go down, and sideways only where docs/house.md says so.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// floors gives each room its floor. The longest prefix counts. What is in no
// room fails the test: a new room must say where it stands.
var floors = map[string]int{
	"mail": 0, "obs": 0,
	"format": 1, "dns": 1, "store/kv": 1,
	"proto": 2, "trust": 2, "crypt": 2, "store/blob": 2,
	"store": 3,
	"flow":  4, "auth": 4,
	"serve": 5,
	"app":   6,
	"cmd":   7,
	"test":  8, // may look at everything, and nothing looks at it but tests
}

// sideways lists the arrows allowed on one floor, from a room to a room.
// "a/*" stands for every room below a.
var sideways = [][2]string{
	{"format/*", "format/message"},
	{"format/*", "format/charset"},
	{"format/*", "format/casemap"},
	{"dns", "dns/cache"},
	{"dns/recursor", "dns/dnssec"},
	{"dns/recursor", "dns/cache"},
	{"store/kv/*", "store/kv/internal"},
	{"store/blob/*", "store/blob/packed"},
	{"crypt/*", "crypt/pem"},
	{"trust/arc", "trust/dkim"},
	{"trust/bimi", "trust/dkim"},
	{"trust/dmarc", "trust/spf"},
	{"trust/dmarc", "trust/dkim"},
	{"trust/verify", "trust/*"},
	{"trust/records", "trust/*"},
	{"store/*", "store/keys"},
	{"store/backup", "store/mailbox"},
	{"store/backup", "store/directory"},
	{"store/search", "store/mailbox"},
	{"proto/*", "proto/sasl"},
	{"proto/*", "proto/netserver"},
	{"flow/receive", "flow/policy"},
	{"flow/receive", "flow/spam"},
	{"flow/receive", "flow/deliver"},
	{"flow/submit", "flow/policy"},
	{"flow/submit", "flow/deliver"},
	{"flow/submit", "flow/spam"},
	{"flow/spam", "flow/deliver"},
	{"flow/relay", "flow/deliver"},
	{"flow/report", "flow/deliver"},
	{"flow/report", "flow/policy"},
	{"app", "app/*"},
	{"test/*", "test/engine"},
}

type listedPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "waxwing/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, "waxwing/")
		if floorOf(from) < 0 {
			t.Errorf("%s stands on no floor: give it one in test/arrows_test.go and docs/house.md", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, "waxwing/")
			if ours && !mayImport(from, to) {
				t.Errorf("%s (floor %d) imports %s (floor %d): arrows go down", from, floorOf(from), to, floorOf(to))
			}
		}
	}
}

func mayImport(from, to string) bool {
	if floorOf(to) < floorOf(from) || within(from, to) {
		return true
	}
	if floorOf(to) > floorOf(from) {
		return false
	}
	for _, s := range sideways {
		if matches(s[0], from) && matches(s[1], to) {
			return true
		}
	}
	return false
}

// within tells whether room a lies inside room b: proto/imap/imapserver in proto/imap.
func within(a, b string) bool { return a == b || strings.HasPrefix(a, b+"/") }

func matches(pattern, room string) bool {
	if parent, ok := strings.CutSuffix(pattern, "/*"); ok {
		return within(room, parent) && room != parent
	}
	return within(room, pattern)
}

func floorOf(room string) int {
	floor, longest := -1, 0
	for prefix, f := range floors {
		if within(room, prefix) && len(prefix) > longest {
			floor, longest = f, len(prefix)
		}
	}
	return floor
}

func TestArrowRules(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"serve/mx", "flow/receive", true},
		{"flow/receive", "serve/mx", false},
		{"flow/receive", "flow/deliver", true},
		{"flow/deliver", "flow/receive", false},
		{"store/kv/pebblekv", "store/kv", true},
		{"store/kv", "store/kv/pebblekv", false},
		{"store/kv", "store/mailbox", false},
		{"proto/imap/imapserver", "proto/imap", true},
		{"proto/imap/imapserver", "proto/sasl", true},
		{"proto/imap/imapserver", "store/mailbox", false},
		{"proto/smtp", "proto/imap", false},
		{"store/mailbox", "store/keys", true},
		{"store/mailbox", "store/directory", false},
		{"mail", "obs", false},
	} {
		if got := mayImport(tt.from, tt.to); got != tt.want {
			t.Errorf("mayImport(%s, %s) = %v", tt.from, tt.to, got)
		}
	}
}
