package mail

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	tests := []struct {
		in   string
		want Address
		out  string // "" for the same as in
	}{
		{"ann@example.test", Address{"ann", "example.test"}, ""},
		{"Ann@EXAMPLE.Test", Address{"Ann", "example.test"}, "Ann@example.test"},
		{`"ann b"@example.test`, Address{"ann b", "example.test"}, ""},
		{`"a\"b\\c"@x.test`, Address{`a"b\c`, "x.test"}, ""},
		{`"ann"@x.test`, Address{"ann", "x.test"}, "ann@x.test"},
		{"a+b@[192.0.2.1]", Address{"a+b", "[192.0.2.1]"}, ""},
		{"a@[IPv6:2001:db8::1]", Address{"a", "[IPv6:2001:db8::1]"}, ""},
		{"a@[ipv6:2001:DB8::1]", Address{"a", "[IPv6:2001:db8::1]"}, "a@[IPv6:2001:db8::1]"},
		{"jürgen@bücher.test", Address{"jürgen", "bücher.test"}, ""},
	}
	for _, tt := range tests {
		got, err := ParseAddress(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
			continue
		}
		want := tt.out
		if want == "" {
			want = tt.in
		}
		if got.String() != want {
			t.Errorf("ParseAddress(%q).String() = %q, want %q", tt.in, got, want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, s := range []string{
		"", "ann", "@x.test", "ann@", ".ann@x.test", "ann.@x.test", "a..b@x.test",
		"ann @x.test", "ann@x test", "ann@x.test.", "ann@-x.test", "ann@x..test",
		`"ann@x.test`, `""@x.test`, "a\r\nb@x.test", "\"a\nb\"@x.test", "a\xff@x.test",
		"a@[192.0.2]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%eth0]", "a@[192.0.2.1",
		strings.Repeat("a", 129) + "@x.test", "a@" + strings.Repeat("b.", 130) + "test",
		"a@x.test>", "<a@x.test>", "a@b@c.test", "a@" + strings.Repeat("b", 64) + ".test",
	} {
		if a, err := ParseAddress(s); err == nil {
			t.Errorf("ParseAddress(%q) = %+v, want an error", s, a)
		}
	}
}

// What parses is written back as something that parses to the same address.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"ann@x.test", `"a b"@x.test`, "a@[IPv6:::1]", "jürgen@bücher.test", `"\ "@a`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if b, err := ParseAddress(a.String()); err != nil || a != b {
			t.Fatalf("%q -> %+v -> %+v, %v", s, a, b, err)
		}
	})
}
