//go:build peers

// Package resolver compares our resolver with unbound, over a little internet
// that knot signs and serves: every way of signing, and every breakage that
// can be made with its tools.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
	"waxwing/test/system"
)

// verdict is what a resolver makes of a question, in words.
type verdict struct {
	security string // secure, insecure or bogus
	answer   string // the records, or why there are none
}

func (v verdict) String() string { return v.security + " " + v.answer }

// questions are asked of every zone.
var questions = []struct {
	name  string
	qtype uint16
}{
	{"", wire.TypeMX},
	{"", wire.TypeTXT},
	{"", wire.TypeSRV}, // no data
	{"www", wire.TypeA},
	{"www", wire.TypeAAAA},
	{"www", wire.TypeMX}, // no data
	{"_25._tcp.mx", wire.TypeTLSA},
	{"_25._tcp.www", wire.TypeTLSA}, // no such name
	{"_tcp.mx", wire.TypeA},         // empty
	{"nowhere", wire.TypeA},
	{"very.deep.nowhere", wire.TypeA},
	{"any.wild", wire.TypeTXT},
	{"any.deep.wild", wire.TypeTXT},
	{"any.wild", wire.TypeMX}, // no data at the wildcard
	{"real.wild", wire.TypeTXT},
	{"ent", wire.TypeA},
	{"alias", wire.TypeA},
	{"alias", wire.TypeMX},
	{"chain", wire.TypeA},
	{"dangling", wire.TypeA},
	{"x.walias", wire.TypeA},
	{"away", wire.TypeA},
	{"home", wire.TypeA},
	{"broken", wire.TypeA},
	{"www.old", wire.TypeA},
	{"nowhere.old", wire.TypeA},
	{"www.moved", wire.TypeA},
	{"cut", wire.TypeDS},
	{"www", wire.TypeDS},
}

// differences are where we mean to differ from unbound 1.17: zones whose only
// algorithm we do not verify are insecure to us.
var differences = map[string]string{
	"ed448.test.": "insecure", // RFC 8624 §3.1 recommends it; Go has no implementation
	"sha1.test.":  "insecure", // RFC 9905 §2
}

func TestSignedInternet(t *testing.T) {
	in := system.StartInternet(t, zones())
	t.Run("as unbound does", func(t *testing.T) { testAsUnboundDoes(t, in) })
	t.Run("verdicts", func(t *testing.T) { testVerdicts(t, in) })
	t.Run("through unbound", func(t *testing.T) { testThroughUnbound(t, in) })
}

func testAsUnboundDoes(t *testing.T, in *system.Internet) {
	unbound, ours := startUnbound(t, in), newResolver(t, in)
	for _, zone := range in.Zones() {
		if wire.CountLabel(zone) < 2 {
			continue
		}
		for _, q := range questions {
			name := strings.TrimPrefix(q.name+"."+zone, ".")
			compare := func() (got, want verdict) {
				got, want = ask(t, ours, name, q.qtype), askUnbound(t, unbound, name, q.qtype)
				if d := differences[zone]; d != "" && want.security == "secure" {
					want.security = d
				}
				return got, want
			}
			got, want := compare()
			if got != want {
				// On a busy machine either may have waited in vain: once more,
				// by two who remember nothing.
				ours, unbound = newResolver(t, in), startUnbound(t, in)
				got, want = compare()
			}
			if got != want {
				t.Errorf("%s %s: %v\n  unbound: %v", name, wire.Type(q.qtype), got, want)
				_, _ = ours.Explain(t.Context(), name, q.qtype, func(s string) { t.Log(s) })
			}
		}
	}
}

func newResolver(t *testing.T, in *system.Internet) *recursor.Resolver {
	t.Helper()
	r, err := recursor.New(recursor.Options{Hints: in.Hints, Port: in.Port, Anchors: in.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The verdict on each zone's own address, and what is said of it.
func testVerdicts(t *testing.T, in *system.Internet) {
	ours := newResolver(t, in)
	for _, tt := range []struct {
		name     string
		qtype    uint16
		security dns.Security
		reason   string
	}{
		{"www.nsec.test.", wire.TypeA, dns.Secure, ""},
		{"nowhere.nsec.test.", wire.TypeA, dns.Secure, ""},
		{"www.nsec3.test.", wire.TypeMX, dns.Secure, ""},
		{"www.online.test.", wire.TypeA, dns.Secure, ""},
		{"nowhere.online.test.", wire.TypeA, dns.Secure, ""},
		{"www.rolled.test.", wire.TypeA, dns.Secure, ""},
		{"www.signed.nsec.test.", wire.TypeA, dns.Secure, ""},
		{"www.plain.test.", wire.TypeA, dns.Insecure, "the zone plain.test. is not signed"},
		{"www.plain.nsec.test.", wire.TypeA, dns.Insecure, "the zone plain.nsec.test. is not signed"},
		{"www.signed.plain.test.", wire.TypeA, dns.Insecure, "the zone plain.test. is not signed"},
		{"www.island.test.", wire.TypeA, dns.Insecure, "is not signed"},
		{"www.newalgorithm.test.", wire.TypeA, dns.Insecure, "algorithms that are not supported"},
		{"nowhere.iterated.test.", wire.TypeA, dns.Insecure, "hashes its names 200 times"},
		{"www.expired.test.", wire.TypeA, dns.Bogus, "expired at"},
		{"www.future.test.", wire.TypeA, dns.Bogus, "is valid from"},
		{"www.wrongds.test.", wire.TypeA, dns.Bogus, "no key of wrongds.test. is one that its parent vouches for"},
		{"www.badsig.test.", wire.TypeA, dns.Bogus, "does not hold"},
		{"www.nosig.test.", wire.TypeA, dns.Bogus, "is not signed, and the zone nosig.test. is"},
		{"www.stripped.test.", wire.TypeA, dns.Bogus, "stripped.test. DNSKEY is not signed"},
		{"nowhere.nodenial.test.", wire.TypeA, dns.Bogus, "does not prove"},
		{"www.nokeys.test.", wire.TypeA, dns.Bogus, "has no keys"},
		{"away.nsec.test.", wire.TypeA, dns.Insecure, "the zone plain.test. is not signed"},
		{"broken.nsec.test.", wire.TypeA, dns.Bogus, "does not hold"},
	} {
		a, err := ours.Resolve(t.Context(), tt.name, tt.qtype)
		if err != nil || a.Finding.Security != tt.security { // as above
			ours = newResolver(t, in)
			a, err = ours.Resolve(t.Context(), tt.name, tt.qtype)
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if a.Finding.Security != tt.security || !strings.Contains(a.Finding.Reason, tt.reason) || (tt.reason == "") != (a.Finding.Reason == "") {
			t.Errorf("%s: %v: %s, want %v: %s", tt.name, a.Finding.Security, a.Finding.Reason, tt.security, tt.reason)
		}
		if tt.security == dns.Bogus && a.Finding.Code == 0 {
			t.Errorf("%s: bogus without a code", tt.name)
		}
	}
	// What the trust in mail hosts stands on.
	d, err := dns.LookupDANE(t.Context(), ours, "mx.nsec.test", 25)
	if err != nil || len(d.TLSA) != 1 || d.Base != "mx.nsec.test" || d.Result.Security != dns.Secure {
		t.Errorf("DANE: %+v, %v", d, err)
	}
	if _, _, err := ours.LookupMX(t.Context(), "expired.test"); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("MX of a bogus zone: %v", err)
	}
}

// Through a forwarder that does not judge by itself the answers are proved the
// same; one that says SERVFAIL instead of something bogus leaves nothing to use.
func testThroughUnbound(t *testing.T, in *system.Internet) {
	through := func() *recursor.Resolver {
		forwarder := netip.MustParseAddrPort(startUnbound(t, in))
		r, err := recursor.New(recursor.Options{Forward: map[string][]netip.AddrPort{".": {forwarder}}, Anchors: in.Anchor})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := through()
	for _, tt := range []struct {
		name string
		want verdict
	}{
		{"www.nsec.test.", verdict{"secure", "www.nsec.test. 192.0.2.1"}},
		{"chain.nsec3.test.", verdict{"secure", "www.nsec3.test. 192.0.2.1"}},
		{"nowhere.online.test.", verdict{"secure", "none: NOERROR"}},
		{"nowhere.nsec3.test.", verdict{"secure", "none: NXDOMAIN"}},
		{"any.wild.rsa256.test.", verdict{"secure", "any.wild.rsa256.test. 192.0.2.3"}},
		{"www.moved.p384.test.", verdict{"secure", "www.nsec.test. 192.0.2.1"}},
		{"away.nsec.test.", verdict{"insecure", "www.plain.test. 192.0.2.1"}},
		{"www.plain.optout.test.", verdict{"insecure", "www.plain.optout.test. 192.0.2.1"}},
		{"www.badsig.test.", verdict{"bogus", "none: SERVFAIL"}},
		{"www.expired.test.", verdict{"bogus", "none: SERVFAIL"}},
	} {
		got := ask(t, r, tt.name, wire.TypeA)
		if got != tt.want { // as above
			r = through()
			got = ask(t, r, tt.name, wire.TypeA)
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func ask(t *testing.T, r *recursor.Resolver, name string, qtype uint16) verdict {
	t.Helper()
	a, err := r.Resolve(t.Context(), name, qtype)
	if err != nil {
		return verdict{"bogus", "none: SERVFAIL"} // what unbound says of dead servers too
	}
	if a.Finding.Security == dns.Bogus {
		return verdict{"bogus", "none: SERVFAIL"}
	}
	v := verdict{a.Finding.Security.String(), records(a.Records)}
	if len(a.Records) == 0 {
		v.answer = "none: NOERROR"
		if a.NoName {
			v.answer = "none: NXDOMAIN"
		}
	}
	return v
}

func records(rrs []wire.RR) string {
	var all []string
	for _, rr := range rrs {
		text := strings.TrimPrefix(rr.String(), rr.Header().String())
		all = append(all, strings.ToLower(rr.Header().Name+" "+text))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func askUnbound(t *testing.T, server, name string, qtype uint16) verdict {
	t.Helper()
	q := new(wire.Msg).SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	c := wire.Client{Timeout: 20 * time.Second, UDPSize: 4096}
	m, _, err := c.Exchange(q, server)
	if err != nil {
		t.Fatalf("unbound does not answer %s: %v", name, err)
	}
	var found []wire.RR
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == qtype {
			found = append(found, rr)
		}
	}
	v := verdict{"insecure", records(found)}
	if m.AuthenticatedData {
		v.security = "secure"
	}
	if len(found) == 0 {
		v.answer = "none: " + wire.RcodeToString[m.Rcode]
	}
	if m.Rcode == wire.RcodeServerFailure {
		v.security = "bogus"
	}
	return v
}

// startUnbound starts Debian's unbound on the same internet. It cannot reach
// servers on another port than 53 by delegation, so it is told each zone's.
func startUnbound(t *testing.T, in *system.Internet) string {
	t.Helper()
	dir := t.TempDir()
	port := system.FreePort(t)
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  interface: 127.0.0.1@%[2]d
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  trust-anchor-signaling: no
  aggressive-nsec: no
  val-log-level: 2
  num-threads: 1
  cache-min-ttl: 60
`, dir, port)
	for line := range strings.Lines(in.Anchor) {
		fmt.Fprintf(&conf, "  trust-anchor: %q\n", strings.TrimSpace(line))
	}
	conf.WriteString("remote-control:\n  control-enable: no\n")
	for _, zone := range in.Zones() {
		at := in.At(zone)
		fmt.Fprintf(&conf, "stub-zone:\n  name: %q\n  stub-addr: %s@%d\n", zone, at.Addr(), at.Port())
	}
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "unbound", "-d", "-c", path)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() && testing.Verbose() {
			t.Logf("unbound said:\n%s", &log)
		}
	})
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	system.WaitListening(t, addr)
	return addr
}
