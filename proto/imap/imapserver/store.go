package imapserver

import (
	"context"
	"errors"
	"slices"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// store is STORE and UID STORE. RFC 9051 §6.4.6
func (c *conn) store(ctx context.Context, cmd imap.Store) (reply, error) {
	if err := errors.Join(c.mustWrite(), c.view.mayChange(cmd)); err != nil {
		return reply{}, err
	}
	v := c.view
	spans, err := v.resolve(cmd.Set, cmd.UID)
	if err != nil {
		return reply{}, err
	}
	spans, limit := c.atMost(spans)
	uids := v.uids(spans)
	if len(uids) == 0 {
		return reply{}, nil
	}
	gone := v.missing(spans)
	before := walk{of: v.told}
	modified, err := c.setFlags(ctx, uids, cmd)
	if err != nil {
		return reply{}, err
	}
	in := march{uids}
	mute := func(now *Entry) bool { return in.has(now.UID) } // asked in the order of UIDs
	if cmd.Silent {
		// What turned out as asked is not told; what somebody else has
		// changed as well is. RFC 9051 §6.4.6
		mute = func(now *Entry) bool {
			if !in.has(now.UID) {
				return false
			}
			was := before.find(now.UID)
			return was != nil && v.expected(was, now, cmd)
		}
	}
	var quiet map[mail.UID]bool
	told := mute
	if cmd.Silent && c.condstore {
		quiet = make(map[mail.UID]bool)
		mute = func(now *Entry) bool {
			muted := told(now)
			quiet[now.UID] = muted
			return muted
		}
	}
	changed, err := c.tellChanges(newsKeeping, cmd.UID, mute)
	if err != nil {
		return reply{}, err
	}
	c.tellStored(spans, cmd, quiet, modified)
	if err := c.follow(&changed); err != nil {
		return reply{}, err
	}
	if len(modified) > 0 {
		return reply{code: v.modified(modified, cmd.UID), text: "Some messages have changed", limit: limit}, nil
	}
	if gone {
		return reply{code: imap.CodeExpungeIssued, text: "Some messages are gone", limit: limit}, nil
	}
	return reply{limit: limit}, nil
}

// tellStored answers for the messages of a STORE; where it was silent, a
// client that follows mod-sequences still has to know the new ones, and should
// not have to ask why others were left alone: it is told their flags, unless
// it has just been. RFC 7162 §3.1.3
func (c *conn) tellStored(spans []span, cmd imap.Store, quiet map[mail.UID]bool, modified []mail.UID) {
	if cmd.Silent && len(quiet) == 0 && len(modified) == 0 {
		return
	}
	left := march{modified}
	for _, s := range spans { // places have not moved: nothing was expunged
		for _, e := range entries(c.view.told, s) {
			silent, changed := quiet[e.UID]
			switch {
			case !cmd.Silent, !changed && left.has(e.UID):
				c.tellEntry(e, cmd.UID)
			case silent:
				c.tellModSeq(e)
			}
		}
	}
}

// setFlags carries out a STORE and gives the messages that it left alone.
//
// A message that has changed since, but not in what is to be added or removed,
// is not one of them: it is tried again. RFC 7162 §3.1.12
func (c *conn) setFlags(ctx context.Context, uids []mail.UID, cmd imap.Store) ([]mail.UID, error) {
	v := c.view
	change := FlagChange{Op: cmd.Op, Flags: cmd.Flags.Flags, Keywords: cmd.Flags.Keywords, UnchangedSince: cmd.UnchangedSince}
	if cmd.UnchangedSince != nil {
		c.useModSeq()
	}
	modified, err := v.mailbox.SetFlags(ctx, uids, change)
	if err != nil || len(modified) == 0 || cmd.Op == imap.StoreReplace {
		return modified, err
	}
	newest := v.mailbox.Snapshot()
	var again, left []mail.UID
	for _, uid := range modified {
		i, known := v.told.Find(uid)
		k, there := newest.Find(uid)
		if known && there && v.told.At(i).ModSeq <= *cmd.UnchangedSince && v.sameIn(v.told.At(i), newest.At(k), cmd.Flags) {
			again = append(again, uid)
		} else {
			left = append(left, uid)
		}
	}
	if len(again) == 0 {
		return modified, nil
	}
	since := newest.Status().HighestModSeq
	change.UnchangedSince = &since
	again, err = v.mailbox.SetFlags(ctx, again, change)
	left = append(left, again...)
	slices.Sort(left)
	return left, err
}

// sameIn tells whether two states of a message agree in some flags.
func (v *view) sameIn(a, b Entry, in imap.FlagList) bool {
	if (a.Flags^b.Flags)&in.Flags != 0 {
		return false
	}
	if len(in.Keywords) == 0 || a.Keywords == b.Keywords {
		return true
	}
	has := func(e Entry, k mail.Keyword) bool {
		return slices.ContainsFunc(v.keywords(e.Keywords), func(x mail.Keyword) bool { return x.Fold() == k.Fold() })
	}
	return !slices.ContainsFunc(in.Keywords, func(k mail.Keyword) bool { return has(a, k) != has(b, k) })
}

// modified is the response code for messages that a STORE has left alone.
// RFC 7162 §3.1.3
func (v *view) modified(uids []mail.UID, uid bool) string {
	b := []byte("MODIFIED ")
	if uid {
		return string(imap.AppendUIDSet(b, uids))
	}
	var numbers []imap.SeqNum
	for _, s := range v.places(uids) {
		for i := s.from; i < s.to; i++ {
			numbers = append(numbers, imap.SeqNum(i+1))
		}
	}
	return string(imap.AppendNumbers(b, numbers))
}

// expected tells whether an entry is what a STORE was to make of it.
func (v *view) expected(before, now *Entry, cmd imap.Store) bool {
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
