package dnsbl

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCodes(t *testing.T) {
	for code, answers := range map[string]map[string]bool{
		"127.0.0.2":     {"127.0.0.2": true, "127.0.0.3": false, "127.0.1.2": false},
		"127.0.0.2-11":  {"127.0.0.2": true, "127.0.0.11": true, "127.0.0.12": false, "127.0.0.1": false},
		"127.0.*.3":     {"127.0.9.3": true, "127.0.0.2": false},
		"127.0.0.&4":    {"127.0.0.6": true, "127.0.0.4": true, "127.0.0.2": false},
		"127.0.0-1.&12": {"127.0.1.8": true, "127.0.2.8": false, "127.0.0.3": false},
	} {
		c, err := ParseCode(code)
		if err != nil || c.String() != code {
			t.Errorf("%s: %v, %v", code, c, err)
		}
		for answer, want := range answers {
			if c.matches(netip.MustParseAddr(answer)) != want {
				t.Errorf("%s matches %s: %v", code, answer, !want)
			}
		}
	}
	for _, code := range []string{"", "127.0.0", "127.0.0.256", "127.0.0.9-2", "127.0.0.&0", "127.0.0.x", "127.0.0.2-", "127.0.0.-2", "127.0.0.0.2", "127.0.0.**"} {
		if c, err := ParseCode(code); err == nil {
			t.Errorf("%q is %v", code, c)
		}
	}
}

// RFC 5782 §2.1, §2.4
func TestReversed(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192",
		"::ffff:192.0.2.99":         "99.2.0.192",
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
	} {
		if got := reversed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// healthy adds the test points of RFC 5782 §5.
func healthy(a map[string][]string, zone string) map[string][]string {
	a = maps.Clone(a)
	a["2.0.0.127."+zone], a["test."+zone] = []string{"127.0.0.2"}, []string{"127.0.0.2"}
	return a
}

func TestLists(t *testing.T) {
	code := func(s string) []Code {
		c, err := ParseCode(s)
		if err != nil {
			t.Fatal(err)
		}
		return []Code{c}
	}
	listed := map[string][]string{
		"7.2.0.192.bl.example": {"127.0.0.4"}, "bad.example.bl.example": {"127.0.0.2"},
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example": {"127.0.0.2"},
	}
	with := func(name, answer string) map[string][]string {
		a := healthy(listed, "bl.example")
		if a[name] = []string{answer}; answer == "" {
			delete(a, name)
		}
		return a
	}
	for name, tt := range map[string]struct {
		zone map[string][]string
		fail string
		list List
		who  string
		want string // the answer
		told string // of the list
	}{
		"listed":          {zone: healthy(listed, "bl.example"), who: "192.0.2.7", want: "127.0.0.4"},
		"IPv6":            {zone: healthy(listed, "bl.example"), who: "2001:db8::1", want: "127.0.0.2"},
		"not listed":      {zone: healthy(listed, "bl.example"), who: "192.0.2.8"},
		"the wrong code":  {zone: healthy(listed, "bl.example"), list: List{Codes: code("127.0.0.2-3")}, who: "192.0.2.7"},
		"the right code":  {zone: healthy(listed, "bl.example"), list: List{Codes: code("127.0.0.4")}, who: "192.0.2.7", want: "127.0.0.4"},
		"a domain":        {zone: healthy(listed, "bl.example"), list: List{Domains: true}, who: "bad.example", want: "127.0.0.2"},
		"lists everybody": {zone: with("1.0.0.127.bl.example", "127.0.0.2"), who: "192.0.2.7", told: "which no list may"},
		"lists nobody":    {zone: with("2.0.0.127.bl.example", ""), who: "192.0.2.7", told: "every list must have"},
		"domains, all":    {zone: with("invalid.bl.example", "127.0.0.2"), list: List{Domains: true}, who: "bad.example", told: "which no list may"},
		"an error code":   {zone: with("7.2.0.192.bl.example", "127.255.255.254"), who: "192.0.2.7", told: "refuses to answer"},
		"a parked domain": {zone: with("7.2.0.192.bl.example", "203.0.113.80"), who: "192.0.2.7"},
		"DNS fails":       {zone: healthy(listed, "bl.example"), fail: "7.2.0.192.bl.example", who: "192.0.2.7"},
		"test fails":      {zone: healthy(listed, "bl.example"), fail: "1.0.0.127.bl.example", who: "192.0.2.7"},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			tt.list.Zone = "bl.example"
			c := New(dnstest.Zone{A: tt.zone, Fail: map[string]bool{tt.fail: true}}, []List{tt.list}, func(_ List, why error) {
				told = append(told, why.Error())
			})
			for range 3 {
				var hits []Hit
				if tt.list.Domains {
					hits = c.Domain(t.Context(), tt.who, now)
				} else {
					hits = c.Address(t.Context(), netip.MustParseAddr(tt.who), now)
				}
				got := ""
				if len(hits) > 0 {
					got = hits[0].Answer.String()
				}
				if got != tt.want {
					t.Errorf("answer %q, want %q", got, tt.want)
				}
			}
			if tt.told == "" && len(told) > 0 || tt.told != "" && (len(told) == 0 || !strings.Contains(told[0], tt.told)) {
				t.Errorf("told %q, want %q", told, tt.told)
			}
			if len(told) > 1 {
				t.Errorf("told %d times", len(told))
			}
		})
	}
}

// changing is a resolver that can be exchanged.
type changing struct{ dns.Resolver }

// A list is believed again once it passes its test.
func TestRecovers(t *testing.T) {
	bad := dnstest.Zone{A: map[string][]string{"7.2.0.192.bl.example": {"127.0.0.4"}}}
	world := &changing{bad}
	c := New(world, []List{{Zone: "bl.example"}}, nil)
	ask := func(at time.Time) int { return len(c.Address(t.Context(), netip.MustParseAddr("192.0.2.7"), at)) }
	if n := ask(now); n != 0 {
		t.Errorf("%d hits of a list without its test entry", n)
	}
	world.Resolver = dnstest.Zone{A: healthy(bad.A, "bl.example")}
	if n := ask(now.Add(time.Minute)); n != 0 {
		t.Errorf("%d hits, too soon", n)
	}
	if n := ask(now.Add(11 * time.Minute)); n != 1 {
		t.Errorf("%d hits after it has recovered", n)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	if n := len(c.Domain(ctx, "bad.example", now)); n != 0 {
		t.Errorf("%d hits for a domain where no list has any", n)
	}
}
