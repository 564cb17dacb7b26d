package mailbox_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/mailbox"
)

// Messages that are appended together become what they become one by one: of
// the same threads, with bodies that are shared, wherever what is known of them
// was made.
func TestAppendTogether(t *testing.T) {
	for round := range 8 {
		together, apart := newHouse(t, mailbox.Options{}), newHouse(t, mailbox.Options{})
		for range 4 {
			var one []mailbox.NewEntry
			var texts []string
			for i := range 1 + rand.IntN(12) {
				text := related()
				e := mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: together.stage(t, text)}
				if i%2 == round%2 {
					m, err := message.Parse(e.Body.Reader())
					if err != nil {
						t.Fatal(err)
					}
					e.Known = mailbox.Know(m)
				}
				one, texts = append(one, e), append(texts, text)
			}
			done, err := together.Append(t.Context(), start, one...)
			if err != nil {
				t.Fatal(err)
			}
			for i, text := range texts {
				want := apart.add(t, mailbox.Inbox, text, 0)
				want.ModSeq, done[i].ModSeq = 0, 0
				if done[i] != want {
					t.Errorf("%q: %+v, want %+v", text, done[i], want)
				}
			}
			ids := together.fresh(t, mailbox.Inbox)
			for i, e := range ids.Entries(0) {
				a, err := together.Facts(t.Context(), []mail.EmailID{e.Email})
				if err != nil {
					t.Fatal(err)
				}
				b, err := apart.Facts(t.Context(), []mail.EmailID{e.Email})
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(a, b) {
					t.Errorf("message %d: %+v, want %+v", i, a[0], b[0])
				}
			}
		}
		together.verify(t)
		apart.verify(t)
	}
}

// related is a message of one of few threads, of which some are the same.
func related() string {
	id := func() string { return fmt.Sprintf("<%d@x.example>", rand.IntN(12)) }
	s := ""
	if rand.IntN(4) > 0 {
		s += "Message-ID: " + id() + "\r\n"
	}
	if rand.IntN(2) > 0 {
		s += "References: " + id() + " " + id() + "\r\n"
	}
	return text(fmt.Sprint(rand.IntN(2)), s)
}
