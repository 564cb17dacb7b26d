package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
)

var (
	now = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	key = []byte("a key")
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What is forwarded comes back, however often it was forwarded in between;
// test/peers has Mail::SRS do the same.
func TestRoundTrips(t *testing.T) {
	for _, sender := range []string{
		"ann@a.test", "Ann.B+c=d@a.test", `"ann b"@a.test`, "bounce=bob=b.test@a.test", "jürgen@a.test", "SRSfan@a.test",
	} {
		a := address(t, sender)
		first, err := Forward(key, now, a, "b.test")
		if err != nil {
			t.Errorf("%s: %v", sender, err)
			continue
		}
		if back, err := Reverse([][]byte{[]byte("new"), key}, now.Add(Lifetime), first); err != nil || back != a {
			t.Errorf("%s: %s came back as %s, %v", sender, first, back, err)
		}
		second, err := Forward([]byte("c"), now, first, "c.test")
		if err != nil {
			t.Fatal(err)
		}
		third, err := Forward([]byte("d"), now, second, "d.test")
		if err != nil {
			t.Fatal(err)
		}
		// From the third straight back to the first.
		if back, err := Reverse([][]byte{[]byte("d")}, now, third); err != nil || back != first {
			t.Errorf("%s: %s came back as %s, %v", sender, third, back, err)
		}
		// Hosts on the way may write everything in small letters.
		small := mail.Address{Local: strings.ToLower(first.Local), Domain: "b.test"}
		if back, err := Reverse([][]byte{key}, now, small); err != nil || !strings.EqualFold(back.String(), sender) {
			t.Errorf("%s: %s came back as %s, %v", sender, small, back, err)
		}
	}
}

func TestRefused(t *testing.T) {
	first, err := Forward(key, now, address(t, "ann@a.test"), "b.test")
	if err != nil {
		t.Fatal(err)
	}
	forged := first
	forged.Local = strings.Replace(forged.Local, "ann", "bob", 1)
	for _, tt := range []struct {
		what string
		a    mail.Address
		at   time.Time
		want error
	}{
		{"an old one", first, now.Add(Lifetime + 24*time.Hour), ErrExpired},
		{"one of tomorrow", first, now.Add(-24 * time.Hour), ErrExpired},
		{"another's", forged, now, ErrForged},
		{"no SRS", address(t, "ann@b.test"), now, ErrNotSRS},
		{"half of one", address(t, "SRS0=abcdef=XX@b.test"), now, ErrNotSRS},
		{"nothing behind", address(t, "SRS1=abcdef=b.test=@b.test"), now, ErrNotSRS},
	} {
		if a, err := Reverse([][]byte{key}, tt.at, tt.a); !errors.Is(err, tt.want) {
			t.Errorf("%s: %s, %v", tt.what, a, err)
		}
	}
	if _, err := Forward(key, now, address(t, strings.Repeat("x", 60)+"@"+strings.Repeat("y", 60)+".test"), "b.test"); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long one: %v", err)
	}
}

// What is reversed is what was rewritten, and nothing that was not.
func FuzzReverse(f *testing.F) {
	f.Add("SRS0=abcdef=XX=a.test=ann@b.test")
	f.Add("SRS1=abcdef=a.test==abcdef=XX=c.test=ann@b.test")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return
		}
		if to, err := Reverse([][]byte{key}, now, a); err == nil {
			t.Fatalf("%q gives %s", s, to)
		}
		on, err := Forward(key, now, a, "b.test")
		if err != nil {
			return
		}
		if back, err := Reverse([][]byte{key}, now, on); err == nil && !Is(a) && back != a {
			t.Fatalf("%s -> %s -> %s", a, on, back)
		}
	})
}
