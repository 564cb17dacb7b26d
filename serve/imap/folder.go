package imap

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
)

// A folder is a mailbox that a session has open.
type folder struct {
	session *account // of the mailbox's owner
	user    *account // whose session it is
	place   place
	id      mail.MailboxID
	view    *mailbox.View
	reset   *keyReset
}

// A snapshot is the store's, as the machine sees it.
type snapshot struct{ *mailbox.Snapshot }

func (s snapshot) At(i int) imapserver.Entry { return entryOf(s.Snapshot.At(i)) }

func (s snapshot) Read(dst []imapserver.Entry, i int) int {
	n := 0
	for n < len(dst) {
		run := s.Stretch(i + n)
		if len(run) == 0 {
			break
		}
		run = run[:min(len(run), len(dst)-n)]
		for k := range run {
			dst[n+k] = entryOf(run[k])
		}
		n += len(run)
	}
	return n
}

func (s snapshot) Status() imapserver.Status { return statusOf(s.Info()) }

func entryOf(e mailbox.Entry) imapserver.Entry {
	return imapserver.Entry{
		UID: e.UID, Email: e.Email, Size: e.Size, Flags: e.Flags,
		Keywords: imapserver.KeywordSet(e.Keywords), Internal: e.Internal, Saved: e.Saved, ModSeq: e.ModSeq,
	}
}

func entriesOf(list []mailbox.Entry) []imapserver.Entry {
	if len(list) == 0 {
		return nil
	}
	out := make([]imapserver.Entry, len(list))
	for i := range list {
		out[i] = entryOf(list[i])
	}
	return out
}

// stored gives the store's snapshot back.
func stored(s imapserver.Snapshot) *mailbox.Snapshot { return s.(snapshot).Snapshot }

func (f *folder) Snapshot() imapserver.Snapshot { return snapshot{f.view.Snapshot()} }

func (f *folder) Subscribe(poke func()) (cancel func()) {
	mail, key := f.view.Subscribe(poke), f.user.door.resets.subscribe(f.reset, poke)
	return func() { mail(); key() }
}

func (f *folder) KeyResets() uint64 { return f.reset.count.Load() }

func (f *folder) keyOwner() keyOwner {
	return keyOwner{user: f.user.account.ID(), owner: f.place.box.ID(), mailbox: f.id}
}

func (f *folder) Diff(old, newest imapserver.Snapshot) imapserver.Delta {
	d := mailbox.Diff(stored(old), stored(newest))
	return imapserver.Delta{Vanished: d.Vanished, Changed: entriesOf(d.Changed), Added: entriesOf(d.Added)}
}

func (f *folder) Keeping(newest, old imapserver.Snapshot, vanished []mail.UID) imapserver.Snapshot {
	return snapshot{stored(newest).Keeping(stored(old), vanished)}
}

func (f *folder) Claim(next mail.UID, take bool) mail.UID {
	return f.session.door.claims.first(f.session.account.ID(), f.id, next, take)
}

func (f *folder) Keywords(set imapserver.KeywordSet) []mail.Keyword {
	return f.session.account.Keywords(mailbox.KeywordSet(set))
}

func (f *folder) AllKeywords(ctx context.Context) ([]mail.Keyword, error) {
	list, err := f.session.account.KeywordNames(ctx)
	return list, refuse(err)
}

func (f *folder) Facts(ctx context.Context, ids []mail.EmailID) ([]*message.Message, error) {
	facts, err := f.session.account.Facts(ctx, ids)
	if err != nil {
		return nil, refuse(err)
	}
	list := make([]*message.Message, len(facts))
	for i, f := range facts {
		if f != nil {
			list[i] = f.Message
		}
	}
	return list, nil
}

func (f *folder) Threads(ctx context.Context, ids []mail.EmailID) ([]mail.ThreadID, error) {
	list, err := f.session.account.Threads(ctx, ids)
	return list, refuse(err)
}

func (f *folder) Thread(ctx context.Context, id string) (map[mail.EmailID]bool, error) {
	hex, isOurs := strings.CutPrefix(id, "t") // as mail.ThreadID writes it
	n, err := strconv.ParseUint(hex, 16, 64)
	if !isOurs || err != nil || mail.ThreadID(n).String() != id {
		return nil, nil
	}
	list, err := f.session.account.Thread(ctx, mail.ThreadID(n))
	if err != nil {
		return nil, refuse(err)
	}
	emails := make(map[mail.EmailID]bool, len(list))
	for _, email := range list {
		emails[email] = true
	}
	return emails, nil
}

func (f *folder) Vanished(ctx context.Context, since mail.ModSeq) ([]mail.UID, bool, error) {
	uids, err := f.session.account.Vanished(ctx, f.id, since)
	if errors.Is(err, mailbox.ErrTooOld) {
		return nil, false, nil
	}
	return uids, true, refuse(err)
}

func (f *folder) Headers(ctx context.Context, ids []mail.EmailID) ([][]byte, error) {
	list, err := f.session.account.ReadHeaders(ctx, ids, imapserver.MaxHeader)
	return list, refuse(err)
}

func (f *folder) Small(ctx context.Context, ids []mail.EmailID) (imapserver.Texts, error) {
	texts, err := f.session.account.ReadTexts(ctx, ids)
	if err != nil {
		return nil, refuse(err)
	}
	f.session.door.noteReading(f.view, texts.Len())
	return texts, nil
}

func (f *folder) Body(ctx context.Context, id mail.EmailID) (imapserver.Body, error) {
	b, err := f.session.account.OpenMessage(ctx, id)
	if err != nil {
		return nil, refuse(err)
	}
	return b, nil
}

func (f *folder) SetFlags(ctx context.Context, uids []mail.UID, c imapserver.FlagChange) ([]mail.UID, error) {
	ops := [...]mailbox.FlagOp{
		imap.StoreReplace: mailbox.FlagsReplace,
		imap.StoreAdd:     mailbox.FlagsAdd,
		imap.StoreRemove:  mailbox.FlagsRemove,
	}
	rights, err := f.Rights(ctx)
	if err != nil {
		return nil, err
	}
	if rights&changing == mail.NoRights {
		return nil, errNoPerm
	}
	change := mailbox.FlagChange{
		Op: ops[c.Op], Flags: c.Flags, Keywords: c.Keywords, UnchangedSince: c.UnchangedSince,
		Keep: fixed(rights), KeepKeywords: !rights.Has(mail.RightWrite),
	}
	done, err := f.session.account.SetFlags(ctx, f.id, uids, change)
	return done.Modified, refuse(err)
}

func (f *folder) Expunge(ctx context.Context, uids []mail.UID) error {
	if err := f.need(ctx, mail.RightExpunge); err != nil {
		return err
	}
	_, _, err := f.session.account.Expunge(ctx, f.id, uids, mailbox.ExpungeOptions{OnlyDeleted: true})
	return refuse(err)
}

func (f *folder) Close() {
	f.user.door.resets.leave(f.keyOwner())
	f.view.Close()
}
