package spf

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

// A scenario is a document of the published suite.
type scenario struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, Mailfrom, Explanation string
		Result                            any
	}
	Zonedata map[string][]any
}

// The suite of openspf.org for RFC 7208 is the judge. testdata/README.md
func TestSuite(t *testing.T) {
	file, err := os.Open("testdata/rfc7208-tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cases := 0
	for dec := yaml.NewDecoder(file); ; {
		var s scenario
		if err := dec.Decode(&s); err != nil {
			break
		}
		zone := s.zone()
		for name, test := range s.Tests {
			cases++
			t.Run(s.Description+"/"+name, func(t *testing.T) {
				v := Check(t.Context(), zone, Query{
					IP: netip.MustParseAddr(test.Host), Helo: test.Helo, Sender: test.Mailfrom,
					Receiver: "receiver.example", Now: time.Unix(1e9, 0),
				})
				var want []string
				switch r := test.Result.(type) {
				case string:
					want = []string{r}
				case []any:
					for _, one := range r {
						want = append(want, one.(string))
					}
				}
				if !slices.Contains(want, string(v.Result)) {
					t.Errorf("%+v, want %v", v, want)
				}
				if test.Explanation != "" && v.Explanation != strings.TrimPrefix(test.Explanation, "DEFAULT") {
					t.Errorf("explained with %q, want %q", v.Explanation, test.Explanation)
				}
			})
		}
	}
	if cases != 203 {
		t.Errorf("%d cases", cases)
	}
}

// zone makes the world of a scenario.
func (s scenario) zone() dns.Resolver {
	z := dnstest.Zone{
		MX: map[string][]dns.MX{}, A: map[string][]string{}, TXT: map[string][]string{},
		PTR: map[string][]string{}, Alias: map[string]string{}, Fail: map[string]bool{},
	}
	for name, records := range s.Zonedata {
		name = strings.ToLower(name)
		var spf, txt []string
		none := false
		for _, record := range records {
			if record == "TIMEOUT" { // of the types that are not there
				z.Fail[name] = len(records) == 1 || none
				continue
			}
			for kind, value := range record.(map[string]any) {
				switch kind {
				case "A", "AAAA":
					z.A[name] = append(z.A[name], value.(string))
				case "MX":
					mx := value.([]any)
					z.MX[name] = append(z.MX[name], dns.MX{Preference: uint16(mx[0].(int)), Host: strings.ToLower(mx[1].(string))})
				case "PTR":
					z.PTR[address(name)] = append(z.PTR[address(name)], value.(string))
				case "CNAME":
					z.Alias[name] = strings.ToLower(value.(string))
				case "SPF":
					spf = append(spf, text(value))
				case "TXT":
					if value == "NONE" {
						none = true
					} else {
						txt = append(txt, text(value))
					}
				}
			}
		}
		if txt == nil && !none { // RFC 7208 knows TXT only; the suite's older records count as such
			txt = spf
		}
		z.TXT[name] = txt
	}
	return z
}

// text joins the strings of a TXT record.
func text(value any) string {
	parts, ok := value.([]any)
	if !ok {
		return value.(string)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.(string))
	}
	return b.String()
}

// address gives the address that a name of the reverse tree belongs to.
func address(name string) string {
	if v4, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(v4, ".")
		slices.Reverse(parts)
		return strings.Join(parts, ".")
	}
	nibbles := strings.Split(strings.TrimSuffix(name, ".ip6.arpa"), ".")
	slices.Reverse(nibbles)
	var groups []string
	for i := 0; i+4 <= len(nibbles); i += 4 {
		groups = append(groups, strings.Join(nibbles[i:i+4], ""))
	}
	ip, err := netip.ParseAddr(strings.Join(groups, ":"))
	if err != nil {
		panic(fmt.Sprint(name, err))
	}
	return ip.String()
}
