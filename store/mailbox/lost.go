package mailbox

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/kv"
)

// A LostMessage is a Lost with what people know it by.
type LostMessage struct {
	Lost
	Name  string // of its mailbox; empty if nobody remembers
	Facts *Facts // nil if it was purged a moment ago
}

// LostMessages goes through what can be recovered as Lost does, with names and
// facts. The mailbox and the message of o choose as those of RestoreOptions do.
func (a *Account) LostMessages(ctx context.Context, o LostOptions, of RestoreOptions) iter.Seq2[LostMessage, error] {
	return func(yield func(LostMessage, error) bool) {
		names := make(map[mail.MailboxID]string)
		err := a.view(ctx, func(r kv.Reader, _ *head) error {
			all, err := readAllBoxes(r)
			for _, m := range all {
				names[m.ID] = m.Name
			}
			return err
		})
		if err != nil {
			yield(LostMessage{}, err)
			return
		}
		wanted := func(id mail.MailboxID) bool { return true }
		if of.Mailbox != "" {
			clean, err := CleanName(of.Mailbox)
			if err != nil {
				yield(LostMessage{}, err)
				return
			}
			wanted = func(id mail.MailboxID) bool { return names[id] == clean }
			if !slices.Contains(slices.Collect(maps.Values(names)), clean) {
				yield(LostMessage{}, noSuchMailbox(of.Mailbox))
				return
			}
		}
		email, byEmail := parseEmailID(of.Message)
		want := strings.Trim(of.Message, "<> ")

		var page []Lost
		tell := func() bool {
			for len(page) > 0 {
				facts, err := a.Facts(ctx, emailsOf(page))
				if err != nil {
					yield(LostMessage{}, err)
					return false
				}
				for i, f := range facts {
					if want != "" && !byEmail && (f == nil || !slices.Contains(message.ParseMessageIDs(f.Message.Envelope.MessageID), want)) {
						continue
					}
					if !yield(LostMessage{page[i], names[page[i].Mailbox], f}, nil) {
						return false
					}
				}
				page = page[len(facts):]
			}
			return true
		}
		const some = 200
		for l, err := range a.Lost(ctx, o) {
			if err != nil {
				yield(LostMessage{}, err)
				return
			}
			if !wanted(l.Mailbox) || byEmail && l.Entry.Email != email {
				continue
			}
			if page = append(page, l); len(page) == some && !tell() {
				return
			}
		}
		tell()
	}
}

func emailsOf(list []Lost) []mail.EmailID {
	ids := make([]mail.EmailID, len(list))
	for i := range list {
		ids[i] = list[i].Entry.Email
	}
	return ids
}
