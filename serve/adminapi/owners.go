package adminapi

import (
	"context"
	"errors"
	"net/http"

	"waxwing/mail"
	"waxwing/store/directory"
)

// owners gives the address of an account, "" if there is none any more: people
// know accounts by their addresses.
type owners func(mail.AccountID) string

// owners looks each account up once.
func (a *API) owners(ctx context.Context) owners {
	known := map[mail.AccountID]string{}
	return func(id mail.AccountID) string {
		address, ok := known[id]
		if !ok {
			if account, err := a.o.Directory.Account(ctx, id); err == nil {
				address = account.Address.String()
			}
			known[id] = address
		}
		return address
	}
}

// accountNamed reads the id of an account, or finds the account by its address.
// Mail of one that is gone has only the id left.
func (a *API) accountNamed(ctx context.Context, s string) (mail.AccountID, error) {
	if id, err := mail.ParseAccountID(s); err == nil {
		return id, nil
	}
	who, err := mail.ParseAddress(s)
	if err != nil {
		return 0, problemf(http.StatusUnprocessableEntity, "%q is neither the address nor the id of an account", s)
	}
	account, err := a.o.Directory.AccountByAddress(ctx, who)
	if errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrNoUser) || errors.Is(err, directory.ErrNotLocal) {
		return 0, problemf(http.StatusUnprocessableEntity, "there is no account %s; see: waxwing account list", s)
	}
	return account.ID, err
}
