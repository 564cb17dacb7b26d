package imap

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
	"waxwing/store/sheaves"
)

// answersEdition is the edition of stored answers. Whoever changes what an answer
// looks like counts it up: TestEdition tells when.
const answersEdition = 1

// A keeper stores sheaves of answers a while after they have been made, so that
// they are found after the next start. Losing some costs making them again.
type keeper struct {
	shelf     *sheaves.Store // nil to store nothing
	mailboxes *mailbox.Store
	log       *slog.Logger
	wake      chan struct{}

	mu      sync.Mutex // guards what follows
	waiting map[sheafKey]sheaves.Kept
	octets  int
	pruned  map[mail.AccountID]time.Time
}

const (
	// keepAfter is how long sheaves wait: whoever goes through a mailbox has
	// its answers first.
	keepAfter = time.Second
	// maxWaiting is how many octets of sheaves may wait.
	maxWaiting = 64 << 20
	// lastKeeping is how long storing may take when the program ends.
	lastKeeping = 3 * time.Second
	// pruneEvery is how often sheaves of what has gone are looked for, and
	// maxPruned for how many accounts that is remembered.
	pruneEvery = 6 * time.Hour
	maxPruned  = 10_000
)

func newKeeper(o *Options, mailboxes *mailbox.Store) *keeper {
	k := &keeper{
		mailboxes: mailboxes, log: o.Log, wake: make(chan struct{}, 1),
		waiting: make(map[sheafKey]sheaves.Kept), pruned: make(map[mail.AccountID]time.Time),
	}
	if o.Stored != nil {
		k.shelf = sheaves.New(o.Stored, answersEdition)
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	return k
}

// storedKinds gives the kinds of answers that are stored, by their number.
var storedKinds = [...]imap.FetchKind{
	1: imap.FetchEnvelope, 2: imap.FetchBodyStructure, 3: imap.FetchStructure, 4: imap.FetchPreview, 5: imap.FetchSnippet,
}

// storedUTF8 is added to the number of what is for clients with UTF8=ACCEPT.
const storedUTF8 = 0x80

// kindOf gives the number by which an answer is stored.
func kindOf(a imapserver.Answer) byte {
	kind := byte(0)
	for i, of := range storedKinds {
		if i > 0 && of == a.Kind {
			kind = byte(i)
		}
	}
	if a.UTF8 {
		kind |= storedUTF8
	}
	return kind
}

// answerOf is the reverse; false for a number that none has.
func answerOf(kind byte) (a imapserver.Answer, ok bool) {
	i := int(kind &^ storedUTF8)
	if i < 1 || i >= len(storedKinds) {
		return a, false
	}
	return imapserver.Answer{Kind: storedKinds[i], UTF8: kind&storedUTF8 != 0}, true
}

// shelfPlace says where a mailbox's sheaves are stored.
func shelfPlace(v *mailbox.View, kind byte) sheaves.Place {
	return sheaves.Place{Account: v.Account().ID(), Mailbox: v.Mailbox(), Validity: v.Snapshot().Info().UIDValidity, Kind: kind}
}

// recall looks for a sheaf among those that are stored, nil if there is none. It
// keeps it.
func (f *folder) recall(ctx context.Context, key sheafKey, now time.Time) (s *sheaves.Sheaf) {
	d := f.session.door
	if d.keeper.shelf == nil {
		return nil
	}
	err := d.keeper.shelf.Read(ctx, shelfPlace(f.view, kindOf(key.answer)), key.number, key.number, func(_ uint32, found *sheaves.Sheaf) {
		s = found
	})
	if err != nil || s == nil {
		return nil // it is made from the messages, which will say what is wrong
	}
	if d.answers.room(costOf(s), now) {
		d.answers.put(key, s, s.Count(), now)
	}
	return s
}

// offer has a sheaf stored if much of it is new.
func (k *keeper) offer(f *folder, key sheafKey, s *sheaves.Sheaf, stored int) {
	n := s.Count()
	if k.shelf == nil || n < 2*stored && n < stored+sheaves.Size/4 || len(s.Octets) > sheaves.MaxOctets {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.octets+len(s.Octets) > maxWaiting {
		return
	}
	if old, ok := k.waiting[key]; ok {
		k.octets -= len(old.Sheaf.Octets)
	}
	k.octets += len(s.Octets)
	k.waiting[key] = sheaves.Kept{Place: shelfPlace(f.view, kindOf(key.answer)), Number: key.number, Sheaf: s}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// take gives all that waits, by account.
func (k *keeper) take() map[mail.AccountID]map[sheafKey]sheaves.Kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[mail.AccountID]map[sheafKey]sheaves.Kept)
	for key, s := range k.waiting {
		id := s.Place.Account
		if all[id] == nil {
			all[id] = make(map[sheafKey]sheaves.Kept)
		}
		all[id][key] = s
	}
	clear(k.waiting)
	k.octets = 0
	return all
}

// Run stores answers beside the doors, until ctx ends.
func (d *Door) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastKeeping)
			defer stop()
			d.store(last)
			return nil
		case <-d.keeper.wake:
		}
		pause := time.NewTimer(keepAfter)
		select {
		case <-ctx.Done():
		case <-pause.C:
			d.store(ctx)
		}
		pause.Stop()
	}
}

// store stores what waits.
func (d *Door) store(ctx context.Context) {
	for id, list := range d.keeper.take() {
		if err := d.storeOf(ctx, id, list); err != nil && ctx.Err() == nil {
			d.keeper.log.Error("answers are not kept", obs.Account, id, obs.Err, err)
		}
	}
}

// storeOf stores what is an account's.
func (d *Door) storeOf(ctx context.Context, id mail.AccountID, list map[sheafKey]sheaves.Kept) error {
	all := make([]sheaves.Kept, 0, len(list))
	for _, s := range list {
		all = append(all, s)
	}
	if err := d.keeper.shelf.Write(ctx, id, all); err != nil {
		return err
	}
	open := make(map[mail.MailboxID]*mailbox.Snapshot)
	for key, s := range list {
		d.answers.noteStored(key, s.Sheaf)
		if v := key.view.Value(); v != nil {
			open[v.Mailbox()] = v.Snapshot()
		}
	}
	// An account that is being deleted loses what is stored after the rest: had
	// it gone before this, nobody would look for it any more.
	boxes, err := d.mailboxes.Account(id).Mailboxes(ctx)
	if errors.Is(err, mailbox.ErrNoAccount) {
		return d.keeper.shelf.Drop(ctx, id)
	}
	if err != nil || !d.keeper.prunes(id, time.Now()) {
		return err
	}
	there := make(map[mail.MailboxID]bool, len(boxes))
	for i := range boxes {
		there[boxes[i].ID] = true
	}
	return d.keeper.shelf.Prune(ctx, id, func(box mail.MailboxID, number uint32) bool {
		s := open[box]
		return there[box] && (s == nil || hasNumber(s, number))
	})
}

// hasNumber tells whether a mailbox has any message that a sheaf is for.
func hasNumber(s *mailbox.Snapshot, number uint32) bool {
	i, _ := s.Find(mail.UID(number) * sheaves.Size)
	return i < s.Len() && uint32(s.At(i).UID/sheaves.Size) == number
}

// prunes tells whether it is time to look for what has gone.
func (k *keeper) prunes(id mail.AccountID, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last, ok := k.pruned[id]; ok && now.Sub(last) < pruneEvery {
		return false
	}
	if len(k.pruned) >= maxPruned {
		clear(k.pruned)
	}
	k.pruned[id] = now
	return true
}
