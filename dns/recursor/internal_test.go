package recursor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns/dnssec"
)

// FuzzRead reads replies that anybody may send. The law: nothing outside the
// zone that was asked is taken, and links lead from the name on.
func FuzzRead(f *testing.F) {
	for _, records := range []string{
		"www.example.test. 60 IN CNAME x.example.test.\nx.example.test. 60 IN A 192.0.2.1",
		"example.test. 60 IN DNAME other.test.", "sub.example.test. 60 IN NS ns.evil.",
		"www.example.test. 60 IN CNAME www.example.test.",
	} {
		m := new(wire.Msg).SetQuestion("www.example.test.", wire.TypeA)
		for line := range strings.Lines(records) {
			rr, err := wire.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer, m.Ns = append(m.Answer, rr), append(m.Ns, rr)
		}
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, uint16(wire.TypeA), false)
	}
	f.Fuzz(func(t *testing.T, message []byte, qtype uint16, recursive bool) {
		m := new(wire.Msg)
		if m.Unpack(message) != nil {
			return
		}
		const zone, name = "example.test.", "www.example.test."
		r, err := read(m, zone, recursive, name, qtype)
		if err != nil {
			return
		}
		for _, sets := range [][]*dnssec.Set{r.answer, r.authority} {
			for _, s := range sets {
				if !wire.IsSubDomain(zone, s.Name) {
					t.Fatalf("%s was taken", s.Name)
				}
			}
		}
		if r.kind == referral {
			if r.next.zone == zone || !wire.IsSubDomain(zone, r.next.zone) || len(r.next.servers) > maxServers {
				t.Fatalf("a referral to %+v", r.next)
			}
			return
		}
		at := name
		all := links(r)
		if len(all) > maxAliases {
			t.Fatalf("%d links", len(all))
		}
		for _, l := range all {
			if l.name != at {
				t.Fatalf("a link at %s, after one to %s", l.name, at)
			}
			if _, ok := wire.IsDomainName(l.target); l.target != "" && !ok {
				t.Fatalf("an alias of %q", l.target)
			}
			at = l.target
		}
	})
}

// FuzzAnchorFile: what is read is written the same.
func FuzzAnchorFile(f *testing.F) {
	f.Add(anchorHead + "\nvalid 2026-11-22T00:00:00Z . 3600 IN DNSKEY 257 3 8 AwEAAa96jeuk\n")
	f.Fuzz(func(t *testing.T, text string) {
		tracked, err := parseAnchorFile(text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "anchors")
		r := &Resolver{options: Options{AnchorFile: path}, tracked: tracked}
		if err := r.saveAnchors(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseAnchorFile(string(written))
		if err != nil || len(again) != len(tracked) {
			t.Fatalf("%q: %v", written, err)
		}
	})
}
