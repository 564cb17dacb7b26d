package batv

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
)

var (
	now  = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	keys = []Key{{3, []byte("new")}, {2, []byte("old")}}
)

func TestTag(t *testing.T) {
	for _, s := range []string{"ann@a.test", "Ann+x=y@a.test", `"ann b"@a.test`, "prvs=x@a.test"} {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			tagged, err := Tag(k, now, a)
			if err != nil || tagged == a {
				t.Fatalf("%s: %s, %v", s, tagged, err)
			}
			if back, err := Check(keys, now.Add(Lifetime), tagged); err != nil || back != a {
				t.Errorf("%s: %s, %v", tagged, back, err)
			}
			if again, err := Tag(k, now, tagged); err != nil || again != tagged {
				t.Errorf("%s is tagged twice: %s, %v", tagged, again, err)
			}
			if _, err := Check(keys, now.Add(Lifetime+24*time.Hour), tagged); !errors.Is(err, ErrExpired) {
				t.Errorf("%s is good for too long: %v", tagged, err)
			}
			if _, err := Check([]Key{{3, []byte("other")}}, now, tagged); !errors.Is(err, ErrForged) {
				t.Errorf("%s is anybody's: %v", tagged, err)
			}
			upper := mail.Address{Local: strings.ToUpper(tagged.Local), Domain: tagged.Domain}
			if _, err := Check(keys, now, upper); err != nil {
				t.Errorf("%s: %v", upper, err)
			}
		}
	}
	for _, local := range []string{"ann", "prvs=", "prvs=1234567890", "prvs=123456789=x", "prvs=x23abcdef1=x", "prvs=1234abcdeg=x", "prvs=1234abcdef="} {
		if a, err := Check(keys, now, mail.Address{Local: local, Domain: "a.test"}); !errors.Is(err, ErrNotTagged) {
			t.Errorf("%s: %s, %v", local, a, err)
		}
	}
	if _, err := Tag(keys[0], now, mail.Address{Local: strings.Repeat("x", 250), Domain: "a.test"}); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long one: %v", err)
	}
}

// The tag of an address is good for no other.
func FuzzCheck(f *testing.F) {
	f.Add("prvs=3111abcdef=ann@a.test")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return
		}
		if plain, err := Check(keys, now, a); err == nil {
			t.Fatalf("%s gives %s", a, plain)
		}
		tagged, err := Tag(keys[0], now, a)
		if err != nil || tagged == a {
			return
		}
		if plain, err := Check(keys, now, tagged); err != nil || plain != a {
			t.Fatalf("%s -> %s -> %s, %v", a, tagged, plain, err)
		}
	})
}
