package imap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// A watch tells of the user's own mailboxes, and of those that others share
// with them.
type watch struct {
	account *account
	ctx     context.Context // of all that runs for it
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{}

	since mail.ModSeq             // of the user's own account: up to here all has been told
	mine  map[mail.MailboxID]bool // of the user's own: those that were subscribed to by then
	// Of others' mailboxes, where they are watched.
	shared     bool
	sharers    []*sharer
	subscribed map[string]bool
	found      []imapserver.News // that has not been told yet
}

// A sharer is another account that is watched.
type sharer struct {
	id    mail.AccountID
	since mail.ModSeq
	// names are those of the mailboxes that the user may look up, as the user
	// sees them.
	names map[mail.MailboxID]string
	known bool // what there is has been looked through
}

// maxSharers bounds how many other accounts one session watches.
const maxSharers = 100

// Watch begins to watch.
func (a *account) Watch(ctx context.Context, shared bool) (imapserver.Watch, error) {
	w := &watch{account: a, changed: make(chan struct{}, 1), shared: shared && a.door.people != nil}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if err := w.begin(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *watch) begin() error {
	own, err := w.account.account.Watch(w.ctx)
	if err != nil {
		return refuse(err)
	}
	follow(w, own)
	infos, err := w.account.account.Mailboxes(w.ctx)
	if err != nil {
		return refuse(err)
	}
	w.mine = make(map[mail.MailboxID]bool)
	for i := range infos {
		w.subscribes(&infos[i])
	}
	if _, w.since, err = w.account.account.News(w.ctx, 1<<63); err != nil || !w.shared {
		return refuse(err)
	}
	hints, err := w.account.account.WatchSharers(w.ctx)
	if err != nil {
		return refuse(err)
	}
	follow(w, hints)
	if w.subscribed, err = w.subscriptions(w.ctx); err != nil {
		return err
	}
	if err := w.look(w.ctx); err != nil {
		return err
	}
	for _, s := range w.sharers {
		list, err := w.account.sharedBy(w.ctx, s.id)
		if err != nil {
			return err
		}
		for i := range list {
			if b := &list[i]; b.ID != 0 {
				s.names[b.ID] = b.Name
			}
		}
		s.known = true
	}
	return nil
}

// follow pokes what waits for the watch whenever something comes.
func follow[T any](w *watch, from <-chan T) {
	w.running.Go(func() {
		for range from {
			select {
			case w.changed <- struct{}{}:
			default: // it is poked already
			}
		}
	})
}

func (w *watch) Changed() <-chan struct{} { return w.changed }

func (w *watch) Close() {
	w.cancel()
	w.running.Wait()
}

// subscriptions gives the subscribed names that are those of others' mailboxes.
func (w *watch) subscriptions(ctx context.Context) (map[string]bool, error) {
	list, err := w.account.account.Subscriptions(ctx)
	if err != nil {
		return nil, refuse(err)
	}
	names := map[string]bool{}
	for _, name := range list {
		if strings.HasPrefix(name, othersPrefix) {
			names[name] = true
		}
	}
	return names, nil
}

// look begins to watch those who share mailboxes now.
func (w *watch) look(ctx context.Context) error {
	ids, err := w.account.account.Sharers(ctx, w.account.who.Login.Domain)
	if err != nil {
		return refuse(err)
	}
	for _, id := range ids {
		if slices.ContainsFunc(w.sharers, func(s *sharer) bool { return s.id == id }) {
			continue
		}
		if len(w.sharers) >= maxSharers {
			return imapserver.ErrOverflow
		}
		box := w.account.door.mailboxes.Account(id)
		changed, err := box.Watch(w.ctx)
		if err != nil {
			return refuse(err)
		}
		follow(w, changed)
		s := &sharer{id: id, names: map[mail.MailboxID]string{}}
		if _, s.since, err = box.News(ctx, 1<<63); err != nil && !errors.Is(err, mailbox.ErrNoAccount) {
			return refuse(err)
		}
		w.sharers = append(w.sharers, s)
	}
	return nil
}

// News tells what has happened to the mailboxes.
func (w *watch) News(ctx context.Context) ([]imapserver.News, error) {
	list, now, err := w.account.account.News(ctx, w.since)
	if errors.Is(err, mailbox.ErrTooOld) {
		return nil, imapserver.ErrOverflow
	}
	if err != nil {
		return nil, refuse(err)
	}
	w.since = max(w.since, now)
	mine := place{box: w.account.account}
	for _, n := range list {
		// Others' rights and the role are no business of those events.
		changed := w.subscribes(&n.Info) || n.Before != ""
		w.found = append(w.found, imapserver.News{
			Status: w.account.statusIn(&mine, n.Info, mail.AllRights), Subscribed: n.Info.Subscribed, Deleted: n.Deleted, Created: n.Created,
			Changed: n.Changed && changed, Before: n.Before,
			Added: n.Added, Expunged: n.Expunged, Flags: n.Flags, Noted: n.Noted,
		})
	}
	if w.shared {
		if err := w.others(ctx); err != nil {
			return nil, err
		}
	}
	found := w.found
	w.found = nil
	return found, nil
}

// subscribes notes whether the user subscribes to one of their own mailboxes,
// and tells whether that is new. RFC 5465 §5.5
func (w *watch) subscribes(info *mailbox.Info) bool {
	changed := w.mine[info.ID] != info.Subscribed
	if info.Subscribed {
		w.mine[info.ID] = true
	} else {
		delete(w.mine, info.ID)
	}
	return changed
}

// others finds what has happened to others' mailboxes.
func (w *watch) others(ctx context.Context) error {
	if err := w.look(ctx); err != nil {
		return err
	}
	subscribed, err := w.subscriptions(ctx)
	if err != nil {
		return err
	}
	was := w.subscribed
	w.subscribed = subscribed
	for _, s := range w.sharers {
		if err := w.of(ctx, s); err != nil {
			return err
		}
	}
	for name := range was {
		if !subscribed[name] {
			err = errors.Join(err, w.resubscribed(ctx, name))
		}
	}
	for name := range subscribed {
		if !was[name] {
			err = errors.Join(err, w.resubscribed(ctx, name))
		}
	}
	return err
}

// resubscribed tells of a name that has been subscribed to, or is not any more.
// Of one that is no mailbox there is nothing to tell.
func (w *watch) resubscribed(ctx context.Context, name string) error {
	status, err := w.account.Mailbox(ctx, name)
	if _, refused := errors.AsType[*imap.Refusal](err); refused {
		return nil
	}
	if err == nil && status.Foreign && status.Rights.Has(mail.RightLookup) {
		w.found = append(w.found, imapserver.News{Status: status, Changed: true, Subscribed: w.subscribed[name]})
	}
	return err
}

// of finds what has happened to the mailboxes of one account. Of one that is
// new to the watch, all that the user may look up are so.
func (w *watch) of(ctx context.Context, s *sharer) error {
	a := w.account
	box := a.door.mailboxes.Account(s.id)
	list, now, err := box.News(ctx, s.since)
	switch {
	case errors.Is(err, mailbox.ErrTooOld):
		return imapserver.ErrOverflow
	case errors.Is(err, mailbox.ErrNoAccount):
		w.gone(s)
		return nil
	case err != nil:
		return refuse(err)
	}
	if !s.known {
		infos, err := box.Mailboxes(ctx)
		if err != nil {
			return refuse(err)
		}
		for _, info := range infos {
			if !slices.ContainsFunc(list, func(n mailbox.MailboxNews) bool { return n.Info.ID == info.ID }) {
				list = append(list, mailbox.MailboxNews{Info: info})
			}
		}
	}
	if len(list) == 0 {
		s.since, s.known = max(s.since, now), true
		return nil
	}
	owner, err := a.door.people.Account(ctx, s.id)
	if errors.Is(err, directory.ErrNotFound) {
		w.gone(s)
		return nil
	}
	if err != nil {
		return refuse(err)
	}
	p := a.placeOf(&owner, "")
	acls, err := box.ACLs(ctx)
	if err != nil {
		return refuse(err)
	}
	s.since, s.known = max(s.since, now), true
	for i := range list {
		if id := list[i].Info.ID; id != 0 {
			w.one(s, &p, &list[i], a.rightsOf(&p, acls[id]))
		}
	}
	return nil
}

// one adds what has happened to one mailbox of another. That the right l is
// granted or taken away is to the user what making and deleting it is.
// RFC 5465 §5.4
func (w *watch) one(s *sharer, p *place, n *mailbox.MailboxNews, rights mail.Rights) {
	was, known := s.names[n.Info.ID]
	if n.Deleted || !rights.Has(mail.RightLookup) {
		if known {
			w.lose(s, n.Info.ID)
		}
		return
	}
	status := w.account.statusIn(p, n.Info, rights)
	s.names[status.ID] = status.Name
	news := imapserver.News{
		Status: status, Subscribed: w.subscribed[status.Name], Created: !known,
		Added: n.Added, Expunged: n.Expunged, Flags: n.Flags,
	}
	if known && was != status.Name {
		news.Changed, news.Before = true, was
	}
	if rights&annotating != 0 { // what is private is the owner's
		news.Noted = slices.DeleteFunc(slices.Clone(n.Noted), mailbox.IsPrivate)
	}
	w.found = append(w.found, news)
}

// lose tells of a mailbox that the user may not see any more.
func (w *watch) lose(s *sharer, id mail.MailboxID) {
	name := s.names[id]
	delete(s.names, id)
	w.found = append(w.found, imapserver.News{
		Status:  imapserver.Status{ID: id, Owner: s.id, Foreign: true, Name: name},
		Deleted: true, Subscribed: w.subscribed[name],
	})
}

// gone tells of the mailboxes of an account that is no more.
func (w *watch) gone(s *sharer) {
	for id := range s.names {
		w.lose(s, id)
	}
}
