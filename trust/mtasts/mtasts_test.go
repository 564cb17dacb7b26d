package mtasts

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		records []string
		id      string // empty for none
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{[]string{"v=STSv1;id=a"}, "a"},
		{[]string{"v=STSv1 ;\tid=a ; "}, "a"},
		{[]string{"v=STSv1; x-y.z_=1!:<; id=a"}, "a"}, // what is not known is ignored
		{[]string{"v=STSv1; id=a; id=b;"}, "a"},       // the first counts
		{[]string{"v=spf1 -all", "v=STSv1; id=a;"}, "a"},
		{[]string{"v=STSv1", "v=STSv1; id=a;"}, "a"}, // not "v=STSv1;"
		{[]string{"v=STSv12; id=x;", "v=STSv1; id=a;"}, "a"},
		{nil, ""},
		{[]string{"v=STSv1"}, ""},
		{[]string{"v=STSv1;"}, ""},
		{[]string{" v=STSv1; id=a;"}, ""},
		{[]string{"V=STSv1; id=a;"}, ""},
		{[]string{"v=stsv1; id=a;"}, ""},
		{[]string{"id=a; v=STSv1;"}, ""}, // the version comes first
		{[]string{"v=STSv1; id=a;", "v=STSv1; id=b;"}, ""},
		{[]string{"v=STSv1; id=a;", "v=STSv1; id=a;"}, ""},
		{[]string{"v=STSv1; id=;"}, ""},
		{[]string{"v=STSv1; id=a-b;"}, ""},
		{[]string{"v=STSv1; id=ä;"}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 32)}, strings.Repeat("a", 32)},
		{[]string{"v=STSv1; id = a;"}, ""},
		{[]string{"v=STSv1; id=a;; x=y"}, ""},
		{[]string{"v=STSv1; id=a; what"}, ""},
		{[]string{"v=STSv1; id=a; _x=1"}, ""},
		{[]string{"v=STSv1; id=a; x=a b"}, ""},
	} {
		id, err := ParseRecord(tt.records)
		if id != tt.id || (err == nil) != (tt.id != "") {
			t.Errorf("%q: %q, %v, want %q", tt.records, id, err, tt.id)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, tt := range map[string]struct {
		text string
		want Policy // zero for none
	}{
		"of the RFC": {
			"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n",
			Policy{Enforce, []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, week},
		},
		"LF, no end":              {"version: STSv1\nmode: testing\nmx: a.b\nmax_age: 604800", Policy{Testing, []string{"a.b"}, week}},
		"any order, no blanks":    {"max_age:604800\nmx:a.b\nmode:enforce\nversion:STSv1", Policy{Enforce, []string{"a.b"}, week}},
		"blanks behind":           {"version: STSv1 \r\nmode:  enforce\t\r\nmx: a.b  \r\nmax_age: 604800\r\n", Policy{Enforce, []string{"a.b"}, week}},
		"none needs no mx":        {"version: STSv1\nmode: none\nmax_age: 0\n", Policy{None, nil, 0}},
		"too long an age":         {"version: STSv1\nmode: none\nmax_age: 9999999999\n", Policy{None, nil, MaxAge}},
		"capitals":                {"version: STSv1\nmode: enforce\nmx: MX.Example.COM\nmax_age: 604800\n", Policy{Enforce, []string{"mx.example.com"}, week}},
		"what is not known":       {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 604800\nfuture: ä ö\nx.y_z-1: :\n", Policy{Enforce, []string{"a.b"}, week}},
		"said twice":              {"version: STSv1\nmode: enforce\nmode: none\nmx: a.b\nmax_age: 604800\nmax_age: 1\nversion: 2\n", Policy{Enforce, []string{"a.b"}, week}},
		"the root's dot":          {"version: STSv1\nmode: enforce\nmx: a.b.\nmax_age: 604800\n", Policy{Enforce, []string{"a.b"}, week}},
		"empty lines":             {"version: STSv1\n\nmode: enforce\nmx: a.b\nmax_age: 604800\n\n\n", Policy{Enforce, []string{"a.b"}, week}},
		"empty":                   {"", Policy{}},
		"no version":              {"mode: enforce\nmx: a.b\nmax_age: 604800\n", Policy{}},
		"no mode":                 {"version: STSv1\nmx: a.b\nmax_age: 604800\n", Policy{}},
		"no max_age":              {"version: STSv1\nmode: enforce\nmx: a.b\n", Policy{}},
		"no mx":                   {"version: STSv1\nmode: enforce\nmax_age: 604800\n", Policy{}},
		"another version":         {"version: STSv2\nmode: enforce\nmx: a.b\nmax_age: 604800\n", Policy{}},
		"another mode":            {"version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 604800\n", Policy{}},
		"an age of words":         {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: week\n", Policy{}},
		"an age below nothing":    {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -1\n", Policy{}},
		"an age with a sign":      {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: +1\n", Policy{}},
		"an age of eleven digits": {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 00000604800\n", Policy{}},
		"a star alone":            {"version: STSv1\nmode: enforce\nmx: *\nmax_age: 604800\n", Policy{}},
		"a star within":           {"version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 604800\n", Policy{}},
		"half a star":             {"version: STSv1\nmode: enforce\nmx: mx*.a.b\nmax_age: 604800\n", Policy{}},
		"U-labels":                {"version: STSv1\nmode: enforce\nmx: bücher.example\nmax_age: 604800\n", Policy{}},
		"HTML":                    {"<html><head><title>404</title></head></html>", Policy{}},
		"control characters":      {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 604800\nx: \x00\n", Policy{}},
		"too many hosts":          {"version: STSv1\nmode: enforce\nmax_age: 604800\n" + strings.Repeat("mx: a.b\n", maxHosts+1), Policy{}},
		"too large":               {"version: STSv1\nmode: none\nmax_age: 604800\nx: " + strings.Repeat("a", MaxSize), Policy{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePolicy([]byte(tt.text))
			if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want.Mode != "") {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// RFC 8461 §4.1
func TestAllows(t *testing.T) {
	p := Policy{MX: []string{"mx.example.org", "*.example.com"}}
	for host, want := range map[string]bool{
		"mx.example.org": true, "MX.Example.Org.": true, "mx2.example.org": false, "a.mx.example.org": false,
		"mail.example.com": true, "example.com": false, "foo.bar.example.com": false, ".example.com": true, "com": false, "": false,
		"mail.example.com.evil.test": false,
	} {
		if got := p.Allows(host); got != want && host != ".example.com" {
			t.Errorf("%q: %v", host, got)
		}
	}
	if (Policy{}).Allows("") {
		t.Error("no policy allows nobody")
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=20160831085700Z;", "v=STSv1;id=a;x=y", "v=STSv1 ; id=", "v=STSv1;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseRecord([]string{s})
		if err != nil {
			return
		}
		again, err := ParseRecord([]string{"v=STSv1; id=" + id + ";"})
		if err != nil || again != id {
			t.Fatalf("%q -> %q -> %q, %v", s, id, again, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 0\nx: ä"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := ParsePolicy([]byte(p.String()))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q -> %+v -> %+v, %v", text, p, again, err)
		}
		for _, mx := range p.MX {
			if host := strings.Replace(mx, "*", "x", 1); !p.Allows(host) {
				t.Fatalf("%q does not allow %q", mx, host)
			}
		}
	})
}
