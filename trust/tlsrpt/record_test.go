package tlsrpt

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"waxwing/dns/dnstest"
)

func TestRecord(t *testing.T) {
	for text, want := range map[string][]Destination{
		"v=TLSRPTv1;rua=mailto:reports@example.com":                                   {{Mail: "reports@example.com"}},
		"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt":                     {{URL: "https://reporting.example.com/v1/tlsrpt"}},
		"v=TLSRPTv1 ; rua=mailto:a@b.example , https://c.example/?x=1#y ;":            {{Mail: "a@b.example"}, {URL: "https://c.example/?x=1"}},
		"v=TLSRPTv1; ext=1; rua=mailto:a%2Bb@c.example?subject=x":                     {{Mail: "a+b@c.example"}},
		"v=TLSRPTv1; rua=http://plain.example/,ftp://x.example,mailto:ok@ok.example":  {{Mail: "ok@ok.example"}},
		"v=TLSRPTv1; rua=https://user:secret@c.example/, https:///x, mailto:x@y.test": {{Mail: "x@y.test"}},
		"v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@y.test":                                  nil,
		"v=TLSRPTv1; rua=mailto:":                                                     nil,
		"v=TLSRPTv1; rua=":                                                            nil,
		"v=TLSRPTv1; Rua=mailto:a@b.example":                                          nil, // %s in the grammar
		"v=TLSRPTv1;":                                                                 nil,
		"v=TLSRPTv1":                                                                  nil,
		"v=tlsrptv1; rua=mailto:a@b.example":                                          nil,
		"v=TLSRPTv12; rua=mailto:a@b.example":                                         nil,
		"rua=mailto:a@b.example; v=TLSRPTv1":                                          nil,
	} {
		got, err := ParseRecord(text)
		if (err != nil) != (want == nil) || err == nil && !reflect.DeepEqual(got.To, want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestLookup(t *testing.T) {
	zone := dnstest.Zone{TXT: map[string][]string{
		"_smtp._tls.one.example":     {"something else", "v=TLSRPTv1; rua=mailto:a@one.example"},
		"_smtp._tls.several.example": {"v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"},
		"_smtp._tls.other.example":   {"v=spf1 -all"},
	}}
	for domain, want := range map[string]error{
		"one.example": nil, "several.example": ErrSeveral, "other.example": ErrNone, "nothing.example": ErrNone,
	} {
		r, _, err := Lookup(context.Background(), zone, domain)
		if !errors.Is(err, want) || err == nil && len(r.To) != 1 {
			t.Errorf("%s: %v, %v; want %v", domain, r, err, want)
		}
	}
}

// A destination that was read is read the same when it is written again.
func FuzzRecord(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@b.example, https://c.example/x")
	f.Add("v=TLSRPTv1;rua=mailto:a%2Bb@c.example;x=y")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		if len(r.To) == 0 || len(r.To) > maxDestinations {
			t.Fatalf("%q: %d destinations", text, len(r.To))
		}
		for _, d := range r.To {
			if (d.Mail == "") == (d.URL == "") {
				t.Fatalf("%q: %+v", text, d)
			}
			if d.URL == "" {
				continue
			}
			again, err := ParseRecord(Version + ";rua=" + d.String())
			if err != nil || again.To[0] != d {
				t.Fatalf("%q: %v -> %v, %v", text, d, again, err)
			}
		}
	})
}
