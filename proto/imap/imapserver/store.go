package imapserver

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// store is STORE and UID STORE. RFC 9051 §6.4.6
func (c *conn) store(ctx context.Context, cmd imap.Store) (reply, error) {
	if err := c.mustWrite(); err != nil {
		return reply{}, err
	}
	v := c.view
	spans, err := v.resolve(cmd.Set, cmd.UID)
	if err != nil {
		return reply{}, err
	}
	uids := v.uids(spans)
	if len(uids) == 0 {
		return reply{}, nil
	}
	gone := v.missing(spans)
	before := v.told
	err = v.mailbox.SetFlags(ctx, uids, FlagChange{Op: cmd.Op, Flags: cmd.Flags.Flags, Keywords: cmd.Flags.Keywords})
	if err != nil {
		return reply{}, err
	}
	in := func(uid mail.UID) bool { _, found := slices.BinarySearch(uids, uid); return found }
	mute := func(now *Entry) bool { return in(now.UID) }
	if cmd.Silent {
		// What turned out as asked is not told; what somebody else has
		// changed as well is. RFC 9051 §6.4.6
		mute = func(now *Entry) bool {
			i, found := before.Find(now.UID)
			return found && in(now.UID) && v.expected(before.At(i), now, cmd)
		}
	}
	if err := c.tellExcept(newsKeeping, cmd.UID, mute); err != nil {
		return reply{}, err
	}
	if !cmd.Silent {
		for _, s := range spans { // places have not moved: nothing was expunged
			for _, e := range entries(v.told, s) {
				c.tellEntry(e, cmd.UID)
			}
		}
	}
	if gone {
		return reply{code: imap.CodeExpungeIssued, text: "Some messages are gone"}, nil
	}
	return reply{}, nil
}

// expected tells whether an entry is what a STORE was to make of it.
func (v *view) expected(before Entry, now *Entry, cmd imap.Store) bool {
	flags := cmd.Flags.Flags
	switch cmd.Op {
	case imap.StoreAdd:
		flags = before.Flags | flags
	case imap.StoreRemove:
		flags = before.Flags &^ flags
	}
	if flags != now.Flags {
		return false
	}
	if len(cmd.Flags.Keywords) == 0 && cmd.Op != imap.StoreReplace {
		return before.Keywords == now.Keywords
	}
	want := map[mail.Keyword]bool{}
	if cmd.Op != imap.StoreReplace {
		for _, k := range v.keywords(before.Keywords) {
			want[k.Fold()] = true
		}
	}
	for _, k := range cmd.Flags.Keywords {
		if cmd.Op == imap.StoreRemove {
			delete(want, k.Fold())
		} else {
			want[k.Fold()] = true
		}
	}
	have := v.keywords(now.Keywords)
	return len(have) == len(want) && !slices.ContainsFunc(have, func(k mail.Keyword) bool { return !want[k.Fold()] })
}
