package imapserver

import "testing"

// RFC 9585 §4: a tag that has a "]" stays out of the code.
func TestInProgress(t *testing.T) {
	for tag, want := range map[string]string{
		"a1": `INPROGRESS ("a1" NIL NIL)`, "a]1": "INPROGRESS (NIL NIL NIL)", "]": "INPROGRESS (NIL NIL NIL)",
	} {
		if got := inProgress(tag); got != want {
			t.Errorf("%s: %s", tag, got)
		}
	}
}
