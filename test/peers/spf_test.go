//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"go.yaml.in/yaml/v3"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/trust/spf"
)

// python gives what python3-spf says to questions: of an address, a sender and a
// HELO name each.
func pythonSPF(t *testing.T, zone dnstest.Zone, questions [][3]string) []string {
	t.Helper()
	records := map[string][]string{}
	for name, all := range zone.TXT {
		records["TXT "+name] = all
	}
	for name, all := range zone.A {
		for _, a := range all {
			kind := "A "
			if strings.Contains(a, ":") {
				kind = "AAAA "
			}
			records[kind+name] = append(records[kind+name], a)
		}
	}
	for name, all := range zone.MX {
		for _, mx := range all {
			records["MX "+name] = append(records["MX "+name], mx.Host)
		}
	}
	for address, all := range zone.PTR {
		name, err := wire.ReverseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		records["PTR "+strings.TrimSuffix(name, ".")] = all
	}
	for name, target := range zone.Alias {
		records["CNAME "+name] = []string{target}
	}
	var fail []string
	for name, does := range zone.Fail {
		if does {
			fail = append(fail, name)
		}
	}
	input, err := json.Marshal(map[string]any{"records": records, "fail": fail, "queries": questions})
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(program(t, string(input), "/usr/bin/python3", "testdata/checkspf.py"))
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	return answers
}

// compareSPF asks both, and gives how often they agree; differs may know why they
// do not.
func compareSPF(t *testing.T, zone dnstest.Zone, questions [][3]string, differs func(question [3]string, ours spf.Verdict, theirs string) bool) int {
	t.Helper()
	agree := 0
	policies := spf.NewPolicies()
	for i, theirs := range pythonSPF(t, zone, questions) {
		q := questions[i]
		ours := policies.Check(t.Context(), zone, spf.Query{IP: netip.MustParseAddr(q[0]), Sender: q[1], Helo: q[2], Now: time.Now()})
		switch {
		case string(ours.Result) == theirs:
			agree++
		case !differs(q, ours, theirs):
			_, domain, _ := strings.Cut(q[1], "@")
			t.Errorf("%v: %s (%s; %s), python3-spf says %s; %q", q, ours.Result, ours.Term, ours.Problem, theirs, zone.TXT[strings.ToLower(domain)])
		}
	}
	return agree
}

// Every record of the published suite, asked with many addresses.
func TestSuiteSPF(t *testing.T) {
	file, err := os.Open("../../trust/spf/testdata/rfc7208-tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	agree := 0
	for dec := yaml.NewDecoder(file); ; {
		var s struct {
			Description string
			Tests       map[string]struct{ Host, Mailfrom, Helo string }
			Zonedata    map[string][]any
		}
		if dec.Decode(&s) != nil {
			break
		}
		zone := suiteZone(s.Zonedata)
		hosts := map[string]bool{"192.0.2.1": true, "2001:db8::1": true}
		for _, test := range s.Tests {
			hosts[test.Host] = true
		}
		var questions [][3]string
		for host := range hosts {
			for name := range zone.TXT {
				questions = append(questions, [3]string{host, "ann@" + name, "helo.example"}, [3]string{host, "", name})
			}
		}
		slices.SortFunc(questions, func(a, b [3]string) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		t.Run(s.Description, func(t *testing.T) {
			agree += compareSPF(t, zone, questions, func(q [3]string, ours spf.Verdict, theirs string) bool {
				// They count the look-up for the macro p as one that found nothing;
				// RFC 7208 §4.6.4 counts terms.
				return strings.HasSuffix(q[1], "@e7.example.com") || q[1] == "" && q[2] == "e7.example.com"
			})
		})
	}
	if agree < 2000 {
		t.Errorf("agreed %d times only", agree)
	}
}

// suiteZone makes the world of a scenario. Of what the suite makes fail for some
// types alone it keeps the records.
func suiteZone(data map[string][]any) dnstest.Zone {
	z := dnstest.Zone{
		MX: map[string][]dns.MX{}, A: map[string][]string{}, TXT: map[string][]string{}, Alias: map[string]string{}, Fail: map[string]bool{},
	}
	for name, records := range data {
		name = strings.ToLower(name)
		var old []string
		for _, record := range records {
			if record == "TIMEOUT" {
				z.Fail[name] = len(records) == 1
				continue
			}
			for kind, value := range record.(map[string]any) {
				switch text, _ := value.(string); kind {
				case "A", "AAAA":
					z.A[name] = append(z.A[name], text)
				case "MX":
					z.MX[name] = append(z.MX[name], dns.MX{Host: strings.ToLower(value.([]any)[1].(string)), Preference: 10})
				case "CNAME":
					z.Alias[name] = strings.ToLower(text)
				case "SPF":
					old = append(old, text)
				case "TXT":
					z.TXT[name] = append(z.TXT[name], text)
				}
			}
		}
		if z.TXT[name] == nil && old != nil {
			z.TXT[name] = old
		}
	}
	return z
}

// Records that nobody would write, made of what may stand in them. Modifiers that
// are not known have no malformed macros: RFC 7208 §12 makes that an error, which
// python3-spf does not look for.
func TestRandomSPF(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 208))
	pick := func(all ...string) string { return all[rng.IntN(len(all))] }
	self := 0 // whose record is made: they look for it in an include before anything else
	domain := func() string { return fmt.Sprintf("d%d.example", (self+1+rng.IntN(39))%40) }
	term := func() string {
		switch rng.IntN(14) {
		case 0:
			return "a"
		case 1:
			return "mx" + pick("", "/24", "//64", "/24//64")
		case 2, 3:
			return "a:" + domain() + pick("", "/28", "/0", "/32//128")
		case 4:
			return "mx:" + domain()
		case 5, 6:
			return "include:" + domain()
		case 7:
			return "ip4:192.0.2." + fmt.Sprint(rng.IntN(40)) + pick("", "/28", "/31", "/33", "/")
		case 8:
			return "ip6:2001:db8::" + fmt.Sprint(rng.IntN(4)) + pick("", "/32", "/127", "/129")
		case 9:
			return "exists:%{" + pick("ir", "l", "d1", "o", "l1r-", "i3", "dr") + "}." + domain()
		case 10:
			return pick("exp=", "unknown=", "redirect=") + domain()
		case 11:
			return pick("IP4:192.0.2.7", "all", "A:"+domain(), "ip4:192.0.2.300", "a:", "what", "all:x", "%{x}=y", "exists:%%")
		default:
			return "ip4:198.51.100." + fmt.Sprint(rng.IntN(4))
		}
	}
	agree := 0
	for range 12 {
		zone := dnstest.Zone{MX: map[string][]dns.MX{}, A: map[string][]string{}, TXT: map[string][]string{}}
		for self = range 40 {
			name := fmt.Sprintf("d%d.example", self)
			terms := []string{"v=spf1"}
			for range rng.IntN(6) {
				terms = append(terms, pick("", "", "+", "-", "~", "?")+term())
			}
			zone.TXT[name] = []string{strings.Join(append(terms, pick("-all", "~all", "?all", "", "redirect="+domain())), " ")}
			if rng.IntN(12) == 0 {
				zone.TXT[name] = append(zone.TXT[name], pick("v=spf1 +all", "v=spf10 +all", "other"))
			}
			for range rng.IntN(3) {
				zone.A[name] = append(zone.A[name], pick("192.0.2.7", "192.0.2.20", "198.51.100.1", "2001:db8::7", "203.0.113.9"))
			}
			for range rng.IntN(3) {
				zone.MX[name] = append(zone.MX[name], dns.MX{Host: domain(), Preference: 10})
			}
		}
		var questions [][3]string
		for _, ip := range []string{"192.0.2.7", "192.0.2.21", "198.51.100.1", "203.0.113.9", "2001:db8::7"} {
			for i := range 40 {
				questions = append(questions, [3]string{ip, fmt.Sprintf("%s@d%d.example", pick("ann", "a-b", "x.y"), i), domain()})
			}
		}
		agree += compareSPF(t, zone, questions, func([3]string, spf.Verdict, string) bool { return false })
	}
	if agree != 12*200 {
		t.Errorf("agreed %d times only", agree)
	}
}
