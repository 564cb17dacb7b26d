package mailbox

import (
	"encoding/binary"
	"errors"
	"testing"

	"waxwing/mail"
)

// Sets of keywords stay in memory, so that there must not be any number.
func TestTooManySets(t *testing.T) {
	a, inbox := newMaildrop(t, 2)
	set := func(k ...mail.Keyword) error {
		_, err := a.SetFlags(t.Context(), inbox, []mail.UID{1}, FlagChange{Op: FlagsReplace, Keywords: k})
		return err
	}
	if err := set("a", "b"); err != nil {
		t.Fatal(err)
	}
	v, err := a.Open(t.Context(), inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i := range maxSets {
		a.keywords.intern(binary.AppendUvarint([]byte{200, 1}, uint64(i)))
	}
	if err := set("a"); !errors.Is(err, ErrTooMany) {
		t.Errorf("one set too many: %v", err)
	}
	for _, k := range [][]mail.Keyword{{}, {"b", "a"}} { // none, and one that is known
		if err := set(k...); err != nil {
			t.Errorf("%q: %v", k, err)
		}
	}
}

// Where there are more sets than numbers, no set is taken for another.
func TestKeywordSetNumbers(t *testing.T) {
	var table keywordTable
	for i := range uint32(70_000) {
		words := appendWords(nil, []uint32{i})
		set := table.intern(words)
		if i < 60_000 && table.sets[set] != string(words) || set != 0 && table.sets[set] != string(words) {
			t.Fatalf("set %d is number %d, %q", i, set, table.sets[set])
		}
	}
}
