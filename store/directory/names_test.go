package directory

import (
	"testing"

	"waxwing/mail"
)

func TestFold(t *testing.T) {
	tests := []struct{ in, want mail.Address }{
		{mail.Address{Local: "ann", Domain: "example.test"}, mail.Address{Local: "ann", Domain: "example.test"}},
		{mail.Address{Local: "Ann", Domain: "EXAMPLE.test"}, mail.Address{Local: "ann", Domain: "example.test"}},
		{mail.Address{Local: "A\u030angstro\u0308m", Domain: "Bücher.test"}, mail.Address{Local: "ångström", Domain: "xn--bcher-kva.test"}},
		{mail.Address{Local: "straße", Domain: "straße.test"}, mail.Address{Local: "straße", Domain: "xn--strae-oqa.test"}},
		{mail.Address{Local: "a", Domain: "bu\u0308cher。test"}, mail.Address{Local: "a", Domain: "xn--bcher-kva.test"}},
		{mail.Address{Local: "a", Domain: "[IPv6:::1]"}, mail.Address{Local: "a", Domain: "[ipv6:::1]"}},
	}
	for _, tt := range tests {
		if got := Fold(tt.in); got != tt.want {
			t.Errorf("Fold(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// A folded address is its own fold, and how it is spelled changes nothing.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"Ann@example.test", "ΑΣ@bücher.test", "İ@x.test", "\u1e9e@faß.test", "a@xn--zz.test", "\u0345a@x.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return
		}
		once := Fold(a)
		if twice := Fold(once); twice != once {
			t.Fatalf("%q -> %q -> %q", a, once, twice)
		}
		own, err := ownAddress(a)
		if err != nil {
			return
		}
		if Fold(own) != once {
			t.Fatalf("%q is kept as %q, folds to %q, not %q", a, own, Fold(own), once)
		}
	})
}
