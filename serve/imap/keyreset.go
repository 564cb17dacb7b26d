package imap

import (
	"sync"
	"sync/atomic"

	"waxwing/mail"
)

// keyResets tells sessions that have a mailbox selected when another session of
// the same user has changed the key with which URLs of it are authorized.
// RFC 4467 §7, RESETKEY. Sessions on other nodes do not hear of it: what they
// would be told, which mechanisms there are, never changes.
type keyResets struct {
	mu   sync.Mutex // guards what follows
	open map[keyOwner]*keyReset
}

// A keyOwner is whose key it is, and of which mailbox.
type keyOwner struct {
	user, owner mail.AccountID
	mailbox     mail.MailboxID
}

// A keyReset is for the sessions of one user that have one mailbox open.
type keyReset struct {
	count    atomic.Uint64 // how often the key has been changed
	sessions int           // guarded by keyResets.mu, as are pokes
	pokes    map[*func()]struct{}
}

func newKeyResets() *keyResets { return &keyResets{open: map[keyOwner]*keyReset{}} }

// enter says that a session opens a mailbox; leave, that it closes it.
func (k *keyResets) enter(of keyOwner) *keyReset {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.open[of]
	if r == nil {
		r = new(keyReset)
		k.open[of] = r
	}
	r.sessions++
	return r
}

func (k *keyResets) leave(of keyOwner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.open[of]; r != nil {
		if r.sessions--; r.sessions == 0 {
			delete(k.open, of)
		}
	}
}

// subscribe has poke called after each change of the key, until cancel is.
func (k *keyResets) subscribe(r *keyReset, poke func()) (cancel func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.pokes == nil {
		r.pokes = make(map[*func()]struct{})
	}
	r.pokes[&poke] = struct{}{}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(r.pokes, &poke)
	}
}

// changed says that a key has been changed.
func (k *keyResets) changed(of keyOwner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.open[of]
	if r == nil {
		return
	}
	r.count.Add(1)
	for poke := range r.pokes {
		(*poke)()
	}
}
