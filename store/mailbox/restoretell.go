package mailbox

import (
	"context"
	"fmt"
	"slices"

	"waxwing/mail"
)

func (r *restoration) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.done.Notes, text) {
		r.done.Notes = append(r.done.Notes, text)
	}
}

// count adds to the report.
func (r *restoration) count(t *target, n int, octets mail.ByteCount) {
	r.done.Messages += n
	r.done.Octets += octets
	r.tell(t.was, t.is, false, n)
}

func (r *restoration) tell(was, is string, whole bool, n int) {
	line := RestoredMailbox{was, is, 0, whole}
	i, ok := r.lines[line]
	if !ok {
		i = len(r.done.Mailboxes)
		r.lines[line] = i
		r.done.Mailboxes = append(r.done.Mailboxes, line)
	}
	r.done.Mailboxes[i].Messages += n
}

// tellMoved says of messages that have not come back where they are.
func (r *restoration) tellMoved(ctx context.Context) {
	if r.o.Message != "" {
		return
	}
	type way struct{ from, to mail.MailboxID }
	moved, purged := make(map[way]int), make(map[mail.MailboxID]int)
	var ids []mail.EmailID
	var from []mail.MailboxID
	ask := func() {
		all, err := r.a.Places(ctx, ids)
		if err != nil {
			return // the report is poorer, and nothing else
		}
		for i, at := range all {
			if at == nil {
				purged[from[i]]++
			}
			if at[from[i]] != nil {
				continue
			}
			for to := range at {
				moved[way{from[i], to}]++
				break
			}
		}
		ids, from = ids[:0], from[:0]
	}
	for at, m := range r.past.was {
		if m.key != nil || !r.wanted(at.Mailbox) {
			continue
		}
		ids, from = append(ids, m.email), append(from, at.Mailbox)
		if len(ids) == recoverBatch {
			ask()
		}
	}
	if len(ids) > 0 {
		ask()
	}
	for w, n := range moved {
		r.note("%s that had been in %q by then: moved to %q since, and left there", plural(n, "message"), r.nameOf(w.from), r.nameOf(w.to))
	}
	for id, n := range purged {
		r.note("%s that had been in %q by then: purged since, and gone for good", plural(n, "message"), r.nameOf(id))
	}
	slices.Sort(r.done.Notes)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
