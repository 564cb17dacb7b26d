package mailbox

import (
	"cmp"
	"context"
	"slices"

	"waxwing/mail"
)

// What a node has open, and bringing it back after a start.

// Account gives the account whose mailbox it is.
func (v *View) Account() *Account { return v.a }

// Opened gives the Views of mailboxes that have so many entries at least: those
// that somebody has open, and then those that rest, the last used first. It gives
// most of them at most.
func (s *Store) Opened(most, entries int) []*View {
	var list []*View
	for _, a := range s.following() {
		list = a.follow.appendOpen(list, entries)
	}
	slices.SortFunc(list, func(v, w *View) int { return cmp.Or(cmp.Compare(v.a.id, w.a.id), cmp.Compare(v.id, w.id)) })
	list = s.resting.appendAll(list, entries)
	return list[:min(len(list), most)]
}

// following gives the accounts that have Views.
func (s *Store) following() []*Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	accounts := make([]*Account, 0, len(s.accounts))
	for _, w := range s.accounts {
		if a := w.Value(); a != nil && a.follow.open.Load() > 0 {
			accounts = append(accounts, a)
		}
	}
	return accounts
}

// appendOpen adds the Views that somebody has open.
func (f *follower) appendOpen(list []*View, entries int) []*View {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.views {
		if v.loaded && v.opened > 0 && v.snapshot.Load().Len() >= entries {
			list = append(list, v)
		}
	}
	return list
}

// appendAll adds the Views that rest.
func (r *restingViews) appendAll(list []*View, entries int) []*View {
	r.mu.Lock()
	defer r.mu.Unlock()
	for el := r.list.Front(); el != nil; el = el.Next() {
		if v := el.Value.(*View); v.snapshot.Load().Len() >= entries {
			list = append(list, v)
		}
	}
	return list
}

// Reopen opens a mailbox before anybody asks for it, and lets it rest, behind those
// that somebody has used: who opens it finds it in memory. The View is nil where
// half of the memory for such mailboxes is taken.
func (a *Account) Reopen(ctx context.Context, id mail.MailboxID) (*View, error) {
	if v := a.follow.view(id); v != nil || a.store.resting.halfFull() {
		return v, nil
	}
	v, err := a.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	a.leave(v, false)
	if a.names.Load() == nil {
		_, err = a.Mailboxes(ctx) // which it remembers by name
	}
	return v, err
}

// view gives the View of a mailbox, nil if there is none that is loaded.
func (f *follower) view(id mail.MailboxID) *View {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.views[id]; v != nil && v.loaded {
		return v
	}
	return nil
}

// halfFull tells whether half of the limit has been reached.
func (r *restingViews) halfFull() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total >= r.limit/2
}
