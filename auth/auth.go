package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
	"waxwing/store/peers"
)

// Options change how an Authenticator works; the zero value is sensible.
type Options struct {
	// Log gets one line for each login, good or bad; nil for none.
	Log *slog.Logger
	// Parallel is how many passwords are hashed at once, each in 19 MiB;
	// 0 for the number of cores.
	Parallel int
	// Queue is how many more may wait; 0 for 64 times Parallel.
	Queue int
	// Remember is how long a password that was right is remembered after
	// its last use; 0 for 30 minutes, negative for never.
	Remember time.Duration
	// Limits bound guessing.
	Limits Limits
	// Peers counts failures by network, for all who want to know of them and
	// beyond a restart; nil counts in memory.
	Peers *peers.Store
}

// An Authenticator checks logins. It is a sasl.Backend.
type Authenticator struct {
	dir      *directory.Directory
	log      *slog.Logger
	hashing  *gate
	verified *verified
	throttle *throttle
	dummy    string // the hash of those who have none

	mu     sync.Mutex // guards secret
	secret []byte     // the installation's, once it has been read
}

var _ sasl.Backend = (*Authenticator)(nil)

// New gives an Authenticator for the accounts of dir.
func New(dir *directory.Directory, o Options) *Authenticator {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.Queue <= 0 {
		o.Queue = 64 * o.Parallel
	}
	if o.Remember == 0 {
		o.Remember = 30 * time.Minute
	}
	return &Authenticator{
		dir:      dir,
		log:      o.Log,
		hashing:  newGate(o.Parallel, o.Queue),
		verified: newVerified(o.Remember),
		throttle: newThrottle(o.Limits, o.Peers),
		dummy:    directory.DummyHash(),
	}
}

// Why a login failed, for the log; the client hears sasl.ErrCredentials.
var (
	errPassword = errors.New("wrong password")
	errUnset    = errors.New("account has no password")
	errDisabled = errors.New("account is disabled")
	errAuthzid  = errors.New("may not act as somebody else")
)

// Password implements sasl.Backend.
func (a *Authenticator) Password(ctx context.Context, peer sasl.Peer, authzid, user, password string) (sasl.Identity, error) {
	begun := time.Now()
	who, err := a.find(ctx, user)
	if err != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, temporary(err))
	}
	source := sourceOf(peer.Addr)
	if err := a.throttle.check(source, who.subject, begun); err != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, err)
	}
	reason, err := a.verify(ctx, source, who, password)
	if err == nil && reason == nil {
		reason, err = a.permit(ctx, who, authzid)
	}
	if err != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, temporary(err))
	}
	return a.settle(ctx, peer, who, user, reason, begun)
}

// SCRAM implements sasl.Backend.
func (a *Authenticator) SCRAM(ctx context.Context, peer sasl.Peer, user string) (sasl.SCRAMKeys, error) {
	who, err := a.find(ctx, user)
	if err == nil {
		if err = a.throttle.check(sourceOf(peer.Addr), who.subject, time.Now()); err != nil {
			return sasl.SCRAMKeys{}, a.refuse(ctx, peer, who, user, err)
		}
		var keys sasl.SCRAMKeys
		if keys, err = a.keysOf(ctx, who); err == nil {
			return keys, nil
		}
	}
	return sasl.SCRAMKeys{}, a.refuse(ctx, peer, who, user, temporary(err))
}

// SCRAMResult implements sasl.Backend.
func (a *Authenticator) SCRAMResult(ctx context.Context, peer sasl.Peer, authzid, user string, succeeded bool) (sasl.Identity, error) {
	begun := time.Now()
	who, err := a.find(ctx, user)
	var reason error
	if err == nil {
		switch {
		case who.unknown != nil:
			reason = who.unknown
		case len(who.credentials.SCRAM.StoredKey) == 0:
			reason = errUnset
		case !succeeded:
			reason = errPassword
		default:
			reason, err = a.permit(ctx, who, authzid)
		}
	}
	if err != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, temporary(err))
	}
	return a.settle(ctx, peer, who, user, reason, begun)
}

// A claimant is whom somebody says to be.
type claimant struct {
	credentials directory.Credentials
	unknown     error        // why there is no such user; nil if there is
	address     mail.Address // folded: the account's, or the one that it would have
	subject     subject
}

// find looks up a login name. The error is trouble of ours only.
func (a *Authenticator) find(ctx context.Context, user string) (claimant, error) {
	secret, err := a.installation(ctx)
	if err != nil {
		return claimant{}, err
	}
	name, err := sasl.Prepare(user)
	if err != nil {
		name = "" // nobody's
	}
	credentials, err := a.dir.Login(ctx, name)
	switch {
	case err == nil:
		return claimant{
			credentials: credentials,
			address:     directory.Fold(credentials.Address),
			subject:     subject(credentials.Account),
		}, nil
	case !errors.Is(err, directory.ErrNoUser) && !errors.Is(err, directory.ErrAmbiguous):
		return claimant{}, err
	}
	address, failed := a.wouldBe(ctx, secret, name)
	if failed != nil {
		return claimant{}, failed
	}
	return claimant{unknown: err, address: address, subject: strangerSubject(secret, address)}, nil
}

// verify tells what is wrong with a password, nil for nothing. The error is
// trouble of ours only.
func (a *Authenticator) verify(ctx context.Context, source source, who claimant, password string) (reason, err error) {
	prepared, err := sasl.Prepare(password)
	if err != nil {
		prepared = "" // nobody's
	}
	hash, missing := who.credentials.Hash, who.unknown
	if missing == nil && hash == "" {
		missing = errUnset
	}
	if missing != nil {
		hash = a.dummy
	}
	proof := a.verified.proof(who.credentials.Account, hash, prepared)
	if a.verified.has(proof, time.Now()) {
		return nil, nil
	}
	if err := a.hashing.enter(ctx, source); err != nil {
		return nil, err
	}
	defer a.hashing.leave(source)
	if a.verified.has(proof, time.Now()) { // by one who was before us in the queue
		return nil, nil
	}
	right, err := directory.VerifyPassword(hash, prepared)
	switch {
	case missing != nil:
		return missing, nil
	case err != nil:
		return nil, err
	case !right || prepared == "":
		return errPassword, nil
	}
	a.verified.add(proof, time.Now())
	if who.credentials.Outdated() {
		a.rehash(ctx, who, hash, prepared)
	}
	return nil, nil
}

// rehash renews hash and keys that were made with other parameters. That it
// fails is no reason to refuse the login.
func (a *Authenticator) rehash(ctx context.Context, who claimant, was, prepared string) {
	err := a.dir.Rehash(ctx, who.credentials.Account, was, prepared)
	if err != nil && !errors.Is(err, directory.ErrChanged) {
		a.log.WarnContext(ctx, "password not rehashed", accountAttr(who), errAttr(err))
	}
}

// permit tells why somebody who has proved to be who may still not log in,
// nil for no reason. To act as another is not permitted. RFC 4616 §2
func (a *Authenticator) permit(ctx context.Context, who claimant, authzid string) (reason, err error) {
	if who.credentials.Disabled {
		return errDisabled, nil
	}
	if authzid == "" {
		return nil, nil
	}
	as, err := a.dir.Login(ctx, authzid)
	switch {
	case errors.Is(err, directory.ErrNoUser), errors.Is(err, directory.ErrAmbiguous):
		return errAuthzid, nil
	case err != nil:
		return nil, err
	case as.Account != who.credentials.Account:
		return errAuthzid, nil
	}
	return nil, nil
}

// settle counts an attempt that has been decided (reason is nil for a good
// one) and gives the answer. Only one that is still within the limits is
// told whether it was right, so that many guesses at once gain nothing.
func (a *Authenticator) settle(ctx context.Context, peer sasl.Peer, who claimant, user string, reason error, begun time.Time) (sasl.Identity, error) {
	if err := a.throttle.settle(sourceOf(peer.Addr), who.subject, reason == nil, time.Now()); err != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, err)
	}
	if reason != nil {
		return sasl.Identity{}, a.refuse(ctx, peer, who, user, fmt.Errorf("%w: %w", sasl.ErrCredentials, reason))
	}
	a.logOK(ctx, peer, who, time.Since(begun))
	return sasl.Identity{Account: who.credentials.Account, Login: who.credentials.Address}, nil
}

// refuse logs why a login failed and gives the caller what may be said.
func (a *Authenticator) refuse(ctx context.Context, peer sasl.Peer, who claimant, user string, err error) error {
	a.logFailed(ctx, peer, who, user, err)
	if errors.Is(err, sasl.ErrCredentials) {
		return sasl.ErrCredentials
	}
	return err
}

// temporary makes trouble of ours what the protocols know.
func temporary(err error) error {
	if errors.Is(err, sasl.ErrTemporary) {
		return err
	}
	return fmt.Errorf("%w: %w", sasl.ErrTemporary, err)
}

// installation gives the installation's secret.
func (a *Authenticator) installation(ctx context.Context) ([]byte, error) {
	a.mu.Lock()
	secret := a.secret
	a.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	secret, err := a.dir.Secret(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.secret = secret
	a.mu.Unlock()
	return secret, nil
}
