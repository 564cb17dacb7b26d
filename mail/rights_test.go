package mail

import "testing"

func TestRights(t *testing.T) {
	for letters, want := range map[string]string{
		"":             "",
		"lr":           "lr",
		"rl":           "lr",
		"lrswipkxtea":  "lrswipkxtea",
		"d":            "te",
		"cd":           "kxte",
		"lrswicdalrsw": "lrswikxtea",
	} {
		r, ok := ParseRights(letters)
		if !ok || r.String() != want {
			t.Errorf("%q: %v, %v; want %q", letters, r, ok, want)
		}
	}
	for _, letters := range []string{"q", "L", "lr ", "+l", "é", "0"} {
		if r, ok := ParseRights(letters); ok {
			t.Errorf("%q: %v, want none", letters, r)
		}
	}
	if AllRights.String() != rightLetters || !AllRights.Has(RightLookup|RightAdmin) || RightLookup.Has(RightLookup|RightRead) {
		t.Error("sets of rights are mixed up")
	}
}
