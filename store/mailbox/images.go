package mailbox

import (
	"context"
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

const (
	// imageEvery is how often mailboxes are looked at whose images are behind,
	// and lastImages how long writing them may take when the program ends.
	imageEvery = time.Minute
	lastImages = 3 * time.Second
	// An image is made anew when one entry of so many has changed, or when the
	// program ends, of so many.
	imageBehind     = 64
	imageBehindLast = 1024
)

// Run stores images of large mailboxes that somebody has opened, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(imageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastImages)
			defer stop()
			s.keepImages(last, true)
			return nil
		case <-tick.C:
			s.keepImages(ctx, false)
		}
	}
}

// keepImages stores what has an image that is behind: where nothing has happened
// since it was last called, or at the end.
func (s *Store) keepImages(ctx context.Context, end bool) {
	for _, a := range s.following() {
		if ctx.Err() != nil {
			return
		}
		if err := a.keepImages(ctx, end); err != nil && ctx.Err() == nil {
			s.log.Error("mailbox is not kept to be opened again", obs.Account, a.id, obs.Err, err)
		}
	}
}

// keepImages stores the images of an account.
func (a *Account) keepImages(ctx context.Context, end bool) error {
	views := a.follow.behind(end)
	for _, v := range views {
		s := v.Snapshot()
		if err := a.writeImage(ctx, v.id, s); err != nil {
			return err
		}
		a.follow.imaged(v, s)
	}
	if len(views) == 0 {
		return nil
	}
	return a.pruneImages(ctx)
}

// behind gives the views whose images are behind, and are to be written now.
func (f *follower) behind(end bool) (list []*View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.views {
		if !v.loaded {
			continue
		}
		s := v.snapshot.Load()
		n, part := s.Len(), imageBehind
		if end {
			part = imageBehindLast
		}
		settled := end || s == v.looked
		v.looked = s
		if settled && !s.gone && n >= leastImage && n <= mostImage && (!v.pictured || v.strayed > n/part) {
			list = append(list, v)
		}
	}
	return list
}

// imaged notes that a view has been stored as it was in s.
func (f *follower) imaged(v *View, s *Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v.pictured = true
	if v.snapshot.Load() == s {
		v.strayed = 0
	}
}

// pruneImages removes those of mailboxes that are not there any more, and of the
// whole account if it has gone meanwhile: whoever deletes it removes what is
// here after the rest.
func (a *Account) pruneImages(ctx context.Context) error {
	there := make(map[mail.MailboxID]bool)
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		clear(there)
		boxes, err := readBoxes(r)
		for _, m := range boxes {
			there[m.ID] = true
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNoAccount) {
		return err
	}
	return kv.Apply(ctx, a.store.db, keys.Index(a.id), func(tx kv.Txn) error {
		last := mail.MailboxID(0)
		for it, err := range tx.Scan([]byte{keys.IndexImage}, []byte{keys.IndexImage + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if len(it.Key) < 5 {
				tx.Delete(it.Key)
				continue
			}
			if id := imageOfKey(it.Key); id != last && !there[id] {
				last = id
				lo := append([]byte(nil), it.Key[:5]...)
				tx.DeleteRange(lo, kv.PrefixEnd(lo))
			}
		}
		return nil
	})
}
