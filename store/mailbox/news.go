package mailbox

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/store/kv"
)

// A MailboxNews tells what has happened to one mailbox since a modseq, all of
// it together.
type MailboxNews struct {
	Info    Info // as it stands now, or stood when it was deleted
	Deleted bool
	Created bool
	Changed bool   // name, role or subscription
	Before  string // the first name that it had, when it was renamed

	Added, Expunged, Flags bool
	Noted                  []string // names of annotations that have changed
}

// mostNews bounds how many changes News looks through.
const mostNews = 20_000

// News tells what has happened to the account's mailboxes since a modseq, and
// up to which one, in the order in which it began; as of mailbox zero, to the
// annotations of the server. ErrTooOld where that is forgotten, or too much.
// Since the newest modseq nothing has happened: 1<<63 gives what that is.
func (a *Account) News(ctx context.Context, since mail.ModSeq) ([]MailboxNews, mail.ModSeq, error) {
	var list []MailboxNews
	var now mail.ModSeq
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		list, now = nil, h.modseq
		if since >= now {
			return nil
		}
		if since < h.forgotten || now-since > mostNews {
			return ErrTooOld
		}
		at := map[mail.MailboxID]int{}
		of := func(id mail.MailboxID) *MailboxNews {
			i, known := at[id]
			if !known {
				i = len(list)
				at[id] = i
				list = append(list, MailboxNews{Info: Info{ID: id}})
			}
			return &list[i]
		}
		for c, err := range changesIn(r, since, 0) {
			if err != nil {
				return err
			}
			gather(&c, of)
		}
		want := make([][]byte, len(list))
		for i := range list {
			want[i] = appendBoxKey(nil, list[i].Info.ID)
		}
		got, err := r.GetMany(want)
		if err != nil {
			return err
		}
		for i, b := range got {
			if b == nil { // purged, or the server
				list[i].Deleted = list[i].Info.ID != 0
				continue
			}
			m, err := decodeBox(list[i].Info.ID, b)
			if err != nil {
				return err
			}
			list[i].Info, list[i].Deleted = m.Info, m.removed != 0
		}
		return nil
	})
	return list, now, err
}

// gather adds one change.
func gather(c *Change, of func(mail.MailboxID) *MailboxNews) {
	for _, m := range c.Mailboxes {
		n := of(m.Mailbox)
		switch m.Kind {
		case MailboxCreated:
			n.Created = true
		case MailboxChanged:
			n.Changed = true
			if n.Before == "" {
				n.Before = m.Before
			}
		}
	}
	for _, a := range c.Created {
		of(a.Mailbox).Added = true
	}
	for _, a := range c.Vanished {
		of(a.Mailbox).Expunged = true
	}
	for _, a := range c.Changed {
		of(a.Mailbox).Flags = true
	}
	for _, a := range c.Noted {
		if n := of(a.Mailbox); !slices.Contains(n.Noted, a.Name) {
			n.Noted = append(n.Noted, a.Name)
		}
	}
}
