package bimi

import (
	"strings"
	"testing"

	"waxwing/dns/dnstest"
)

func TestParseRecord(t *testing.T) {
	for text, want := range map[string]Record{
		"v=BIMI1; l=https://a.example/logo.svg":                                {Location: "https://a.example/logo.svg"},
		"v=BIMI1; l=https://a.example/logo.svg; a=https://a.example/vmc.pem; ": {"https://a.example/logo.svg", "https://a.example/vmc.pem"},
		"v = BIMI1;l= https://a.example/1.svg,https://a.example/2.svg;a=self;": {Location: "https://a.example/1.svg"},
		"v=BIMI1; a=https://a.example/vmc.pem; avp=brand":                      {Authority: "https://a.example/vmc.pem"},
		"v=BIMI1; l=; a=;": {},
	} {
		got, err := ParseRecord(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, other := range map[string]bool{
		"":                                      true,
		"v=spf1 -all":                           true,
		"l=https://a.example/x.svg; v=BIMI1":    true,
		"v=BIMI2; l=https://a.example/x.svg":    true,
		"v=BIMI1":                               false,
		"v=BIMI1; l=http://a.example/x.svg":     false,
		"v=BIMI1; l=data:image/svg+xml,x":       false,
		"v=BIMI1; l=https://":                   false,
		"v=BIMI1; l=https://u:p@a.example/":     false,
		"v=BIMI1; l=https://a.example/a b":      false,
		"v=BIMI1; l=https://a.example/\"x":      false,
		"v=BIMI1; l=https://a.example/; l=":     false,
		"v=BIMI1; l=; a=ftp://a.example/x":      false,
		"v=BIMI1; l=https://a.example/x\x00svg": false,
		"v=BIMI1; l=https://a.example/" + strings.Repeat("x", maxURI): false,
	} {
		if got, err := ParseRecord(text); err == nil || (err == ErrOther) != other {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestParseSelector(t *testing.T) {
	for value, want := range map[string]string{
		" v=BIMI1; s=Brand;":        "brand",
		"v=BIMI1;\r\n s=a.b":        "a.b",
		"v=BIMI1":                   "",
		"s=brand":                   "",
		"v=BIMI1; s=a..b":           "",
		"v=BIMI1; s=a b":            "",
		"v=BIMI1; s=x; s=y":         "",
		"v=BIMI1; s=b\xc3\xbccher":  "",
		"v=BIMI1; s=\"brand\"":      "",
		"v=BIMI2; s=brand":          "",
		"v=BIMI1; s=_bimi.evil*":    "",
		"brand":                     "",
		"v=BIMI1; s=../../etc":      "",
		"v=BIMI1; s=default; t=any": "default",
	} {
		got, err := ParseSelector(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
}

func TestLook(t *testing.T) {
	const record = "v=BIMI1; l=https://a.example/logo.svg"
	z := dnstest.Zone{TXT: map[string][]string{
		"default._bimi.a.example":    {"other", record},
		"brand._bimi.a.example":      {"v=BIMI1; l=https://a.example/brand.svg"},
		"default._bimi.no.example":   {"v=BIMI1; l=; a="},
		"default._bimi.two.example":  {record, record},
		"default._bimi.http.example": {"v=BIMI1; l=http://a.example/logo.svg"},
	}, Fail: map[string]bool{"default._bimi.down.example": true}, Authentic: true}
	for _, tt := range []struct {
		author, organization, selector string
		want                           Result
		domain                         string
	}{
		{"a.example", "a.example", "default", Pass, "a.example"},
		{"a.example", "", "brand", Pass, "a.example"},
		{"sub.a.example", "a.example", "default", Pass, "a.example"},
		{"sub.a.example", "", "default", None, "sub.a.example"},
		{"no.example", "a.example", "default", Declined, "no.example"},
		{"two.example", "a.example", "default", Fail, "two.example"},
		{"http.example", "a.example", "default", Fail, "http.example"},
		{"down.example", "a.example", "default", TempError, "down.example"},
		{strings.Repeat("x.", 120) + "example", "", "default", None, strings.Repeat("x.", 120) + "example"},
	} {
		v := Look(t.Context(), z, tt.author, tt.organization, tt.selector)
		if v.Result != tt.want || v.Domain != tt.domain || v.Selector != tt.selector || (v.Record != Record{}) != (tt.want == Pass) ||
			(v.Problem != "") != (tt.want == Fail || tt.want == TempError) {
			t.Errorf("%+v: %+v", tt, v)
		}
	}
}

// Whatever a stranger publishes, what comes of it can stand in a field.
func FuzzParseRecord(f *testing.F) {
	f.Add("v=BIMI1; l=https://a.example/logo.svg; a=https://a.example/vmc.pem")
	f.Add("v=BIMI1; s=brand")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRecord(text); err == nil {
			for _, uri := range []string{r.Location, r.Authority} {
				if uri != "" && (!strings.HasPrefix(strings.ToLower(uri), "https://") || strings.ContainsAny(uri, " \r\n\t\"<>")) {
					t.Errorf("%q gives %q", text, uri)
				}
			}
			again, err := ParseRecord("v=BIMI1; l=" + r.Location + "; a=" + r.Authority)
			if err != nil && !strings.ContainsAny(r.Location+r.Authority, ",;") || err == nil && again != r && !strings.ContainsAny(r.Authority, ",;") {
				t.Errorf("%q gives %+v, and that %+v, %v", text, r, again, err)
			}
		}
		if s, err := ParseSelector(text); err == nil && !isName(s) {
			t.Errorf("%q gives %q", text, s)
		}
	})
}
