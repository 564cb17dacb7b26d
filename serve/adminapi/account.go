package adminapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/mail"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// MinPassword is how many characters a password has at least.
const MinPassword = 8

func accountOf(a directory.Account) Account {
	return Account{
		ID:       a.ID.String(),
		Address:  a.Address.String(),
		Name:     a.Name,
		Admin:    a.Admin,
		Disabled: a.Disabled,
		Quota:    int64(a.Quota),
		Created:  utc(a.Created),
		Moved:    a.Settings[directory.SettingMoved],
	}
}

func (a *API) listAccounts(r *http.Request) (any, error) {
	after := mail.AccountID(0)
	if s := r.URL.Query().Get("after"); s != "" {
		id, err := mail.ParseAccountID(s)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "after: %v", err)
		}
		after = id
	}
	list, err := paged(r, a.o.Directory.Accounts(r.Context(), after), accountOf,
		func(a directory.Account) string { return a.ID.String() })
	for i := range list.Items {
		id, _ := mail.ParseAccountID(list.Items[i].ID) // we have just written it
		list.Items[i].Paused = a.pausedFor(id)
		// One that is being made or deleted has no mailboxes, and that is all.
		if e := a.usage(r.Context(), id, &list.Items[i]); e != nil && !errors.Is(e, mailbox.ErrNoAccount) {
			return nil, e
		}
	}
	return list, err
}

func (a *API) addAccount(r *http.Request) (any, error) {
	body, err := decode[NewAccount](r)
	if err != nil {
		return nil, err
	}
	who, err := address(body.Address)
	if err != nil {
		return nil, err
	}
	password, made, err := choosePassword(body.Password)
	if err != nil {
		return nil, err
	}
	if body.Quota < 0 {
		return nil, problemf(http.StatusUnprocessableEntity, "a quota cannot be negative; 0 is the server's default")
	}
	account, err := CreateAccount(r.Context(), a.o.Directory, a.o.Mailboxes, time.Now(), directory.Account{
		Address: who, Name: body.Name, Admin: body.Admin, Quota: mail.ByteCount(body.Quota),
	}, password)
	if err != nil {
		return nil, foreign(who, err)
	}
	answer := accountOf(account)
	if made {
		answer.Password = password
	}
	return answer, nil
}

// CreateAccount makes an account with its mailboxes. If it fails nothing is
// left behind.
func CreateAccount(ctx context.Context, dir *directory.Directory, mailboxes *mailbox.Store, now time.Time, account directory.Account, password string) (directory.Account, error) {
	account, err := dir.AddAccount(ctx, now, account)
	if err != nil {
		return account, err
	}
	if err = FinishAccount(ctx, dir, mailboxes, now, account, password); err == nil {
		return account, nil
	}
	undo := context.WithoutCancel(ctx)
	return account, errors.Join(err, dir.DeleteAccount(undo, account.ID), mailboxes.Delete(undo, account.ID))
}

// FinishAccount gives an account in the directory its mailboxes and password.
func FinishAccount(ctx context.Context, dir *directory.Directory, mailboxes *mailbox.Store, now time.Time, account directory.Account, password string) error {
	if err := mailboxes.Create(ctx, account.ID, now, mailbox.AccountOptions{Quota: account.Quota}); err != nil {
		return err
	}
	// Last, since whoever can log in must find mailboxes.
	return dir.SetPassword(ctx, account.ID, password)
}

// choosePassword checks a password, or makes one where none is given.
func choosePassword(given string) (password string, made bool, err error) {
	if given == "" {
		return GeneratePassword(), true, nil
	}
	if utf8.RuneCountInString(given) < MinPassword {
		return "", false, problemf(http.StatusUnprocessableEntity, "the password is too short: it needs at least %d characters", MinPassword)
	}
	return given, false, nil
}

// GeneratePassword makes a password of 100 random bits that can be typed:
// "k7qf-2mxa-uc3e-bd5h-zt4n".
func GeneratePassword() string {
	text := strings.ToLower(rand.Text())
	var b strings.Builder
	for i := range 5 {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[4*i : 4*i+4])
	}
	return b.String()
}

// account finds the account that the path names.
func (a *API) account(r *http.Request) (directory.Account, error) {
	who, err := address(r.PathValue("address"))
	if err != nil {
		return directory.Account{}, err
	}
	return a.o.Directory.AccountByAddress(r.Context(), who)
}

func (a *API) getAccount(r *http.Request) (any, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	answer := accountOf(account)
	answer.Paused = a.pausedFor(account.ID)
	if err := a.usage(r.Context(), account.ID, &answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func (a *API) changeAccount(r *http.Request) (any, error) {
	change, err := decode[AccountChange](r)
	if err != nil {
		return nil, err
	}
	for _, n := range []*int64{change.Quota, change.Recoverable} {
		if n != nil && *n < 0 {
			return nil, problemf(http.StatusUnprocessableEntity, "a quota cannot be negative; 0 is the server's default")
		}
	}
	if change.Moved != nil && !serverName(*change.Moved) {
		return nil, problemf(http.StatusUnprocessableEntity, "moved: %q is not a server's name, with or without a port", *change.Moved)
	}
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	if change.Quota != nil {
		if err := a.o.Mailboxes.SetQuota(r.Context(), account.ID, mail.ByteCount(*change.Quota)); err != nil {
			return nil, err
		}
	}
	if change.Recoverable != nil {
		if err := a.o.Mailboxes.SetRecoverable(r.Context(), account.ID, mail.ByteCount(*change.Recoverable)); err != nil {
			return nil, err
		}
	}
	account, err = a.o.Directory.UpdateAccount(r.Context(), account.ID, func(d *directory.Account) error {
		set(&d.Name, change.Name)
		set(&d.Admin, change.Admin)
		set(&d.Disabled, change.Disabled)
		if change.Quota != nil {
			d.Quota = mail.ByteCount(*change.Quota)
		}
		if change.Moved != nil {
			setting(d, directory.SettingMoved, *change.Moved)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answer := accountOf(account)
	return answer, a.usage(r.Context(), account.ID, &answer)
}

// setting changes a setting of an account; an empty one goes.
func setting(d *directory.Account, key, value string) {
	if value == "" {
		delete(d.Settings, key)
		return
	}
	if d.Settings == nil {
		d.Settings = map[string]string{}
	}
	d.Settings[key] = value
}

// serverName tells whether a text is a server's name, with or without a port,
// or empty.
func serverName(text string) bool {
	host, port, with := strings.Cut(text, ":")
	if n, err := strconv.ParseUint(port, 10, 16); with && (err != nil || n == 0) {
		return false
	}
	if text == "" {
		return true
	}
	_, err := mail.ParseAddress("x@" + host)
	return err == nil && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}

// set changes what is to be changed.
func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

func (a *API) deleteAccount(r *http.Request) (any, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	// The record first: it refuses what is in use, and mail stops arriving.
	if err := a.o.Directory.DeleteAccount(r.Context(), account.ID); err != nil {
		return nil, err
	}
	return nil, a.o.Mailboxes.Delete(context.WithoutCancel(r.Context()), account.ID)
}

func (a *API) setPassword(r *http.Request) (any, error) {
	body, err := decode[NewPassword](r)
	if err != nil {
		return nil, err
	}
	password, made, err := choosePassword(body.Password)
	if err != nil {
		return nil, err
	}
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	if err := a.o.Directory.SetPassword(r.Context(), account.ID, password); err != nil {
		return nil, err
	}
	answer := accountOf(account)
	if made {
		answer.Password = password
	}
	return answer, nil
}

// dropIndex forgets the search index of an account, which is built anew.
func (a *API) dropIndex(r *http.Request) (any, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	return nil, a.o.Index.Drop(r.Context(), account.ID)
}
