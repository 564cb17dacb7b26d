package auth

import (
	"context"
	"errors"
	"log/slog"

	"waxwing/proto/sasl"
	"waxwing/store/directory"
)

// Options change how an Authenticator works; the zero value is sensible.
type Options struct {
	Log *slog.Logger
}

// An Authenticator checks logins. It is a sasl.Backend.
type Authenticator struct{ dir *directory.Directory }

var _ sasl.Backend = (*Authenticator)(nil)

// New gives an Authenticator for the accounts of dir.
func New(dir *directory.Directory, o Options) *Authenticator { return &Authenticator{dir: dir} }

func (a *Authenticator) Password(ctx context.Context, peer sasl.Peer, authzid, user, password string) (sasl.Identity, error) {
	return sasl.Identity{}, errors.ErrUnsupported
}

func (a *Authenticator) SCRAM(ctx context.Context, peer sasl.Peer, user string) (sasl.SCRAMKeys, error) {
	return sasl.SCRAMKeys{}, errors.ErrUnsupported
}

func (a *Authenticator) SCRAMResult(ctx context.Context, peer sasl.Peer, authzid, user string, succeeded bool) (sasl.Identity, error) {
	return sasl.Identity{}, errors.ErrUnsupported
}
