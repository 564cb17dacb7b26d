package imap

import (
	"context"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/search"
)

// index is what there is to search the mailbox by.
func (f *folder) index() *search.Account { return f.user.door.index.Account(f.session.account.ID()) }

func (f *folder) Abstracts(ctx context.Context, ids []mail.EmailID) ([]abstract.Row, error) {
	return f.index().Rows(ctx, ids)
}

func (f *folder) Narrow(ctx context.Context, queries []abstract.Query) ([]imapserver.Candidates, error) {
	found, err := f.index().Narrow(ctx, queries)
	if err != nil {
		return nil, err
	}
	list := make([]imapserver.Candidates, len(found))
	for i, c := range found {
		if c != nil {
			list[i] = c
		}
	}
	return list, nil
}

func (f *folder) Whole(ctx context.Context, ids []mail.EmailID) (imapserver.Wholes, error) {
	read, err := f.session.account.ReadWhole(ctx, ids)
	if err != nil {
		return imapserver.Wholes{}, refuse(err)
	}
	list := make([]imapserver.Whole, len(read.List))
	for i, w := range read.List {
		list[i] = imapserver.Whole{Text: w.Text, Err: w.Err}
		if w.Facts != nil {
			list[i].Message = w.Message
		}
	}
	return imapserver.Wholes{List: list, Release: read.Release}, nil
}

func (f *folder) Order(ctx context.Context, s imapserver.Snapshot, places []int, keys []abstract.SortKey) ([]int32, error) {
	return f.index().Order(ctx, stored(s), places, keys)
}

func (f *folder) Threaded(ctx context.Context, s imapserver.Snapshot, places []int, by abstract.Algorithm) ([]*abstract.Node, error) {
	return f.index().Threads(ctx, stored(s), places, by)
}
