package auth

import (
	"context"
	"log/slog"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/sasl"
)

func (a *Authenticator) logOK(ctx context.Context, peer sasl.Peer, who claimant, took time.Duration) {
	// The server says that somebody is logged in, with the connection.
	a.log.LogAttrs(ctx, slog.LevelDebug, "login ok",
		accountAttr(who),
		slog.String(obs.Login, who.credentials.Address.String()),
		slog.String(obs.Remote, peer.Addr.String()),
		slog.String(obs.Service, peer.Service),
		slog.Duration(obs.Took, took))
}

func (a *Authenticator) logFailed(ctx context.Context, peer sasl.Peer, who claimant, user string, err error) {
	a.log.LogAttrs(ctx, slog.LevelInfo, "login failed",
		accountAttr(who),
		slog.String(obs.Login, who.logged(user)),
		slog.String(obs.Remote, peer.Addr.String()),
		slog.String(obs.Service, peer.Service),
		errAttr(err))
}

// logged gives a login name for the log. People type passwords into the field
// for the user; so only what is an account's name, or looks like an address,
// is written down.
func (who claimant) logged(user string) string {
	if who.credentials.Account != 0 {
		return who.credentials.Address.String()
	}
	if address, err := mail.ParseAddress(user); err == nil {
		return address.String()
	}
	return "(no address)"
}

func accountAttr(who claimant) slog.Attr {
	if who.credentials.Account == 0 {
		return slog.Attr{}
	}
	return slog.String(obs.Account, who.credentials.Account.String())
}

func errAttr(err error) slog.Attr { return slog.String(obs.Err, err.Error()) }
