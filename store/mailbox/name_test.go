package mailbox

import (
	"slices"
	"testing"
)

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"Archive":        "Archive",
		"inbox":          "INBOX",
		"iNbOx/Sub":      "INBOX/Sub",
		"a/inbox":        "a/inbox",
		"Entwu\u0308rfe": "Entwürfe",
		"a b/c d":        "a b/c d",
		"INBOXES":        "INBOXES",
		"" + "日本語/メール":   "日本語/メール",
	} {
		if got, err := CleanName(in); err != nil || got != want {
			t.Errorf("CleanName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestCompareNames(t *testing.T) {
	want := []string{"INBOX", "INBOX/a", "A", "a", "a/b", "a/b/c", "a b", "b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNames)
	if !slices.Equal(got, want) {
		t.Errorf("order is %q, not %q", got, want)
	}
}

// A clean name stays what it is.
func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"inbox/x", "a//b", "Entwu\u0308rfe", "#news", "a/ b", "\u0344", "a\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CleanName(s)
		if err != nil {
			return
		}
		if again, err := CleanName(name); err != nil || again != name {
			t.Fatalf("%q -> %q -> %q, %v", s, name, again, err)
		}
	})
}
