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
