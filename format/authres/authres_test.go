package authres

import (
	"reflect"
	"strings"
	"testing"
)

// RFC 8601 Appendix B, and what others write.
func TestParse(t *testing.T) {
	for value, want := range map[string][]Result{
		" example.org 1; none":                                 nil,
		"example.com;\r\n\tspf=pass smtp.mailfrom=example.net": {{Method: "spf", Value: "pass", Props: []Prop{{"smtp", "mailfrom", "example.net"}}}},
		"example.com; auth=pass (cram-md5)\r\n smtp.auth=sender@example.com; spf=pass smtp.mailfrom=example.com": {
			{Method: "auth", Value: "pass", Props: []Prop{{"smtp", "auth", "sender@example.com"}}},
			{Method: "spf", Value: "pass", Props: []Prop{{"smtp", "mailfrom", "example.com"}}},
		},
		"foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462": {
			{Method: "dkim", Value: "fail", Props: []Prop{{"policy", "expired", "1362471462"}}},
		},
		`mx; dkim=fail reason="bad \"signature\"; really" header.b="a;b" header.i=@x.example;`: {
			{Method: "dkim", Value: "fail", Reason: `bad "signature"; really`, Props: []Prop{{"header", "b", "a;b"}, {"header", "i", "@x.example"}}},
		},
	} {
		server, got, err := Parse(value)
		if err != nil || server == "" || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %+v, %v", value, server, got, err)
		}
	}
	for _, value := range []string{"", " ", "(x", `"x`, "x; =", "x; a", "x; a=b c", "x; a=b c.=d=e; (", "x y"} {
		if server, got, err := Parse(value); err == nil {
			t.Errorf("%q: %q, %+v", value, server, got)
		}
	}
}

// What anybody could take for ours is.
func TestClaims(t *testing.T) {
	for value, want := range map[string]bool{
		" mx.example.org; dmarc=pass":                          true,
		"\r\n MX.Example.ORG (c) 1 (c) ; dmarc=pass":           true,
		` (hi) "MX.example".org ; spf=pass`:                    true,
		`"mx\.example.org"; none`:                              true,
		"mx.example.org":                                       true,
		"mx.example.org.; dmarc=pass":                          true,
		"mx.(x)example.org; dmarc=pass":                        true,
		"mx.example.org/1; dmarc=pass":                         true,
		"mx.example.org=x; dmarc=pass":                         true,
		"mx.example.org, x; dmarc=pass":                        true,
		"other.example, mx.example.org; dmarc=pass":            true,
		`"mx" ".example.org"; dmarc=pass`:                      true,
		"mx.example.org\x0b; dmarc=pass":                       true,
		"mx.example.org\u00a0; dmarc=pass":                     true,
		"mx。example．org; dmarc=pass":                           true,
		"mx.example.org dmarc=pass":                            true,
		"":                                                     true,
		";":                                                    true,
		"(mx.example.org) ; dmarc=pass":                        true, // whose it is cannot be read
		"other.example; dmarc=pass":                            false,
		"other.example (mx.example.org); dmarc=pass":           false,
		"amx.example.org; dmarc=pass":                          false,
		"mx.example.org.example; dmarc=pass":                   false,
		"other.example 1; dmarc=pass (by mx.example.org)":      false,
		"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=x; a": false, // QUIRK: some name no server
	} {
		if got := Claims(value, "mx.example.org"); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestFormat(t *testing.T) {
	got := Format("mx.example.org", []Result{
		{Method: "spf", Value: "fail", Reason: "it's \"not\" there", Props: []Prop{{"smtp", "mailfrom", `"a b"@x.example`}}},
		{Method: "dkim", Value: "pass", Comment: "2048 (bits)", Props: []Prop{{"header", "d", "x.example"}, {"header", "i", "@x.example"}, {"header", "b", "a/b\r\nX: y"}}},
	})
	want := "mx.example.org;\r\n\tspf=fail reason=\"it's \\\"not\\\" there\"\r\n\t smtp.mailfrom=\"\\\"a b\\\"@x.example\";\r\n" +
		"\tdkim=pass (2048 \\(bits\\))\r\n\t header.d=x.example\r\n\t header.i=@x.example\r\n\t header.b=\"a/b??X: y\""
	if got != want {
		t.Errorf("%s", got)
	}
	if got := Format("mx.example.org", nil); got != "mx.example.org; none" {
		t.Errorf("%s", got)
	}
}

// What is written is what is read.
func FuzzFormat(f *testing.F) {
	f.Add("pass", "why (not)", `a "reason"`, "ann@example.org")
	f.Fuzz(func(t *testing.T, v, comment, reason, prop string) {
		want := Result{Method: "dkim", Value: "pass", Comment: comment, Reason: reason, Props: []Prop{{"header", "i", prop}}}
		s := Format("mx.example.org", []Result{want, {Method: "spf", Value: "none"}})
		if strings.Contains(strings.ReplaceAll(s, "\r\n\t", ""), "\n") {
			t.Errorf("a line is broken: %q", s)
		}
		_, got, err := Parse(s)
		if err != nil || len(got) != 2 || got[0].Reason != clean(reason) && reason != "" {
			t.Fatalf("%q: %+v, %v", s, got, err)
		}
		if p, _ := got[0].Get("header", "i"); prop != "" && p != clean(prop) {
			t.Errorf("%q, not %q", p, prop)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`mx 1; dkim/1=fail reason="x" header.b=a (c\)) ; none`)
	f.Fuzz(func(t *testing.T, s string) {
		_, results, _ := Parse(s)
		if len(results) > maxResults {
			t.Error(len(results))
		}
		if server, _, err := Parse(s); err == nil && isToken(server) && !Claims(s, server) {
			t.Errorf("%q is not taken for that of %q", s, server)
		}
	})
}
