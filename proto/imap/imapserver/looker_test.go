package imapserver

import (
	"context"
	"testing"

	"waxwing/mail"
)

// A fallingMailbox is one that something is wrong with, in our own code.
type fallingMailbox struct{ Mailbox }

func (fallingMailbox) Whole(context.Context, []mail.EmailID) (Wholes, error) { panic("a bug") }

// What goes wrong while messages are looked through ends the connection whose
// search it is, in whichever goroutine it happens.
func TestSearchPanics(t *testing.T) {
	asked := make([]*candidate, 4*textBatch)
	for i := range asked {
		asked[i] = new(candidate)
	}
	for range 20 {
		s := &searcher{ctx: t.Context(), view: &view{mailbox: fallingMailbox{}}}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("nothing of the panic has come to who searches")
				}
			}()
			t.Error(s.settleTexts(asked))
		}()
	}
}
