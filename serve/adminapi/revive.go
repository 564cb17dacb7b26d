package adminapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// A RevivedAccount is one that has been deleted, as a backup holds it.
type RevivedAccount struct {
	Address     string            `json:"address"`
	Name        string            `json:"name,omitempty"`
	Admin       bool              `json:"admin,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	Quota       int64             `json:"quota,omitempty"`
	Recoverable int64             `json:"recoverable,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`

	// What its password has left behind; no Hash if it had none.
	Hash       string `json:"hash,omitempty"`
	Salt       []byte `json:"salt,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	StoredKey  []byte `json:"stored_key,omitempty"`
	ServerKey  []byte `json:"server_key,omitempty"`
}

// reviveAccount makes an account that has been deleted anew, with the password
// that it had. If it fails nothing is left behind.
func (a *API) reviveAccount(r *http.Request) (any, error) {
	body, err := decode[RevivedAccount](r)
	if err != nil {
		return nil, err
	}
	who, err := address(body.Address)
	if err != nil {
		return nil, err
	}
	ctx, now := r.Context(), time.Now()
	account, err := a.o.Directory.AddAccount(ctx, now, directory.Account{
		Address: who, Name: body.Name, Admin: body.Admin, Disabled: body.Disabled,
		Quota: mail.ByteCount(body.Quota), Settings: body.Settings,
	})
	if err != nil {
		return nil, foreign(who, err)
	}
	if err := a.refurnish(ctx, now, account, body); err != nil {
		undo := context.WithoutCancel(ctx)
		return nil, errors.Join(err, a.o.Directory.DeleteAccount(undo, account.ID), a.o.Mailboxes.Delete(undo, account.ID))
	}
	return accountOf(account), nil
}

// refurnish gives a revived account what belongs to it.
func (a *API) refurnish(ctx context.Context, now time.Time, account directory.Account, was RevivedAccount) error {
	if err := a.o.Mailboxes.Create(ctx, account.ID, now, mailbox.AccountOptions{Quota: account.Quota}); err != nil {
		return err
	}
	if was.Recoverable != 0 {
		if err := a.o.Mailboxes.SetRecoverable(ctx, account.ID, mail.ByteCount(was.Recoverable)); err != nil {
			return err
		}
	}
	if was.Hash == "" {
		return nil
	}
	return a.o.Directory.SetCredentials(ctx, directory.Credentials{Account: account.ID, Hash: was.Hash, SCRAM: sasl.SCRAMKeys{
		Salt: was.Salt, Iterations: was.Iterations, StoredKey: was.StoredKey, ServerKey: was.ServerKey,
	}})
}

// ReviveAccount makes an account anew that has been deleted.
func (c *Client) ReviveAccount(ctx context.Context, was RevivedAccount) (Account, error) {
	return call[Account](ctx, c, http.MethodPost, "/v1/revived", was)
}
