package imap

import (
	"context"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// The rights that changing flags takes. RFC 4314 §4
const changing = mail.RightSeen | mail.RightWrite | mail.RightMark

// Rights gives what the user may do with the mailbox now: they are asked for
// anew each time, so that what is taken away is gone at once.
func (f *folder) Rights(ctx context.Context) (mail.Rights, error) {
	rights, err := f.user.rights(ctx, &f.place, f.id)
	return rights, refuse(err)
}

// need refuses what the user may not do.
func (f *folder) need(ctx context.Context, want mail.Rights) error {
	rights, err := f.Rights(ctx)
	if err == nil && !rights.Has(want) {
		err = errNoPerm
	}
	return err
}

// fixed gives the system flags that rights do not let change.
func fixed(rights mail.Rights) mail.Flags {
	var keep mail.Flags
	if !rights.Has(mail.RightSeen) {
		keep |= mail.Seen
	}
	if !rights.Has(mail.RightMark) {
		keep |= mail.Deleted
	}
	if !rights.Has(mail.RightWrite) {
		keep |= ^(mail.Seen | mail.Deleted)
	}
	return keep
}

// permit takes from a new message the flags that its maker may not set; it
// comes without them. RFC 4314 §4, COPY and APPEND
func permit(e *mailbox.NewEntry, rights mail.Rights) {
	e.Flags &^= fixed(rights)
	if !rights.Has(mail.RightWrite) {
		e.Keywords = nil
	}
}
