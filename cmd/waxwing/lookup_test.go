package main

import (
	"bytes"
	"strings"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

func TestLookup(t *testing.T) {
	server := dnstest.Serve(t, dnstest.Zone{
		MX: map[string][]dns.MX{"example.test": {{Host: "mx.example.test", Preference: 10}}},
	})
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--no-proof", "--forward", server, "example.test", "mx"}, 0, "10 mx.example.test."},
		{[]string{"--no-proof", "--forward", server, "example.test", "mx"}, 0, "indeterminate: no trust anchor covers example.test."},
		{[]string{"--no-proof", "--forward", server, "nowhere.test", "TXT"}, 0, "the name does not exist"},
		// The server knows nothing of signatures, so that nothing can be proved.
		{[]string{"--forward", server, "example.test", "MX"}, 1, "bogus"},
		{[]string{"--forward", server, "example.test", "NONSENSE"}, 1, "no type of records"},
		{[]string{"--forward", "localhost", "example.test"}, 1, "want an address and a port"},
		{[]string{"--no-proof", "--forward", server, strings.Repeat("a", 64) + ".test"}, 1, "no domain name"},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"lookup"}, tt.args...), strings.NewReader(""), &out, &errOut)
		if code != tt.code || !strings.Contains(out.String()+errOut.String(), tt.want) {
			t.Errorf("%q: code %d\n%s%s", tt.args, code, out.String(), errOut.String())
		}
	}
}
