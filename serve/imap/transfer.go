package imap

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

func (f *folder) Copy(ctx context.Context, uids []mail.UID, to string) (imapserver.Copied, error) {
	return f.transfer(ctx, uids, to, false)
}

// Move takes the rights t and e of the source. RFC 6851 §4.2
func (f *folder) Move(ctx context.Context, uids []mail.UID, to string) (imapserver.Copied, error) {
	if err := f.need(ctx, mail.RightMark|mail.RightExpunge); err != nil {
		return imapserver.Copied{}, err
	}
	return f.transfer(ctx, uids, to, true)
}

// transfer copies or moves: within an account by its store, else message by
// message.
func (f *folder) transfer(ctx context.Context, uids []mail.UID, to string, move bool) (imapserver.Copied, error) {
	p, info, rights, err := f.user.selectable(ctx, to, mail.RightInsert)
	if err != nil {
		return imapserver.Copied{}, err
	}
	var done imapserver.Copied
	if p.box.ID() != f.session.account.ID() || !rights.Has(changing) {
		done, err = f.carry(ctx, uids, &p, info, rights, move)
	} else {
		do := f.session.account.Copy
		if move {
			do = f.session.account.Move
		}
		var moved mailbox.Copied
		moved, err = do(ctx, time.Now(), f.id, uids, info.ID)
		done = imapserver.Copied{UIDValidity: moved.UIDValidity, Source: moved.Source, Dest: moved.Dest}
	}
	if err != nil {
		return imapserver.Copied{}, refuse(err)
	}
	if !rights.Has(mail.RightRead) {
		done.Dest = nil
	}
	return done, nil
}

// How much is carried in one transaction, which has 4 MiB for small messages.
const (
	carryMessages = 100
	carryOctets   = 2 << 20
)

// carry copies messages into another account, or within one where flags must
// not come along. All come or none: what has come is taken back when one
// cannot. Moved messages leave the source at the end; where they cannot, they
// are in both places: an expunge that has failed may have been done in part, or
// be done yet, and what has come may be all that there is.
func (f *folder) carry(ctx context.Context, uids []mail.UID, to *place, info mailbox.Info, rights mail.Rights, move bool) (imapserver.Copied, error) {
	var done imapserver.Copied
	done.UIDValidity = info.UIDValidity
	snapshot := f.view.Snapshot()
	if err := f.carryAll(ctx, snapshot, uids, to, info.ID, rights, &done); err != nil {
		return imapserver.Copied{}, refuse(errors.Join(err, takeBack(ctx, to, info.ID, done.Dest)))
	}
	if move && len(done.Source) > 0 {
		// To the end, even where the session is being ended.
		ctx := context.WithoutCancel(ctx)
		if _, _, err := f.session.account.Expunge(ctx, f.id, done.Source, mailbox.ExpungeOptions{}); err != nil {
			return imapserver.Copied{}, refuse(err)
		}
	}
	return done, nil
}

// takeBack removes what has come to a mailbox for nothing, even where the
// session is being ended.
func takeBack(ctx context.Context, from *place, id mail.MailboxID, uids []mail.UID) error {
	if len(uids) == 0 {
		return nil
	}
	_, _, err := from.box.Expunge(context.WithoutCancel(ctx), id, uids, mailbox.ExpungeOptions{})
	return err
}

func (f *folder) carryAll(ctx context.Context, s *mailbox.Snapshot, uids []mail.UID, to *place, id mail.MailboxID,
	rights mail.Rights, done *imapserver.Copied) error {
	for len(uids) > 0 {
		n, octets := 0, uint64(0)
		var entries []mailbox.Entry
		for n < len(uids) && n < carryMessages {
			i, found := s.Find(uids[n])
			if found {
				e := s.At(i)
				if octets += uint64(e.Size); octets > carryOctets && len(entries) > 0 {
					break
				}
				entries = append(entries, e)
			}
			n++
		}
		uids = uids[n:]
		if err := f.carrySome(ctx, entries, to, id, rights, done); err != nil {
			return err
		}
	}
	return nil
}

// carrySome copies messages in one transaction.
func (f *folder) carrySome(ctx context.Context, list []mailbox.Entry, to *place, id mail.MailboxID,
	rights mail.Rights, done *imapserver.Copied) error {
	var entries []mailbox.NewEntry
	var source []mail.UID
	var bodies []*blob.Staged
	defer func() {
		for _, b := range bodies {
			_ = b.Close() // what was kept stays
		}
	}()
	for _, e := range list {
		body, err := f.restage(ctx, e.Email)
		if body != nil {
			bodies = append(bodies, body)
		}
		if errors.Is(err, mailbox.ErrNoMessage) {
			continue // expunged and purged meanwhile
		}
		if err != nil {
			return err
		}
		entry := mailbox.NewEntry{
			Mailbox: id, Body: body, Flags: e.Flags, Internal: e.InternalDate(),
			Keywords: slices.Clone(f.session.account.Keywords(e.Keywords)),
		}
		permit(&entry, rights)
		entries, source = append(entries, entry), append(source, e.UID)
	}
	if len(entries) == 0 {
		return nil
	}
	made, err := to.box.Append(ctx, time.Now(), entries...)
	if err != nil {
		return err
	}
	for i, m := range made {
		done.Source, done.Dest = append(done.Source, source[i]), append(done.Dest, m.UID)
	}
	return nil
}

// restage reads a message to be kept by another account.
func (f *folder) restage(ctx context.Context, id mail.EmailID) (*blob.Staged, error) {
	m, err := f.session.account.OpenMessage(ctx, id)
	if err != nil {
		return nil, err
	}
	defer m.Close() //nolint:errcheck // it was only read
	body := blob.Stage(ctx, f.user.door.blobs)
	if _, err := io.Copy(body, io.NewSectionReader(m, 0, int64(m.Size()))); err != nil {
		return body, err
	}
	return body, body.Finish()
}
