package directory

import (
	"context"
	"errors"
	"iter"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

type Directory struct{ db kv.Store }

func New(db kv.Store) *Directory { return &Directory{db: db} }

func (d *Directory) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (d *Directory) AddDomain(ctx context.Context, now time.Time, dom Domain) (Domain, error) {
	return dom, errors.ErrUnsupported
}
func (d *Directory) Domain(ctx context.Context, name string) (Domain, error) {
	return Domain{}, errors.ErrUnsupported
}
func (d *Directory) Domains(ctx context.Context, after string) iter.Seq2[Domain, error] { return nil }
func (d *Directory) UpdateDomain(ctx context.Context, name string, fn func(*Domain) error) (Domain, error) {
	return Domain{}, errors.ErrUnsupported
}
func (d *Directory) DeleteDomain(ctx context.Context, name string) error {
	return errors.ErrUnsupported
}
func (d *Directory) IsLocal(ctx context.Context, domain string) (bool, error) {
	return false, errors.ErrUnsupported
}

func (d *Directory) AddAccount(ctx context.Context, now time.Time, a Account) (Account, error) {
	return a, errors.ErrUnsupported
}
func (d *Directory) Account(ctx context.Context, id mail.AccountID) (Account, error) {
	return Account{}, errors.ErrUnsupported
}
func (d *Directory) AccountByAddress(ctx context.Context, a mail.Address) (Account, error) {
	return Account{}, errors.ErrUnsupported
}
func (d *Directory) Accounts(ctx context.Context, after mail.AccountID) iter.Seq2[Account, error] {
	return nil
}
func (d *Directory) UpdateAccount(ctx context.Context, id mail.AccountID, fn func(*Account) error) (Account, error) {
	return Account{}, errors.ErrUnsupported
}
func (d *Directory) DeleteAccount(ctx context.Context, id mail.AccountID) error {
	return errors.ErrUnsupported
}
func (d *Directory) SetPassword(ctx context.Context, id mail.AccountID, password string) error {
	return errors.ErrUnsupported
}
func (d *Directory) Rehash(ctx context.Context, id mail.AccountID, was, password string) error {
	return errors.ErrUnsupported
}

func (d *Directory) AddAlias(ctx context.Context, now time.Time, a Alias) (Alias, error) {
	return a, errors.ErrUnsupported
}
func (d *Directory) Alias(ctx context.Context, a mail.Address) (Alias, error) {
	return Alias{}, errors.ErrUnsupported
}
func (d *Directory) Aliases(ctx context.Context, after mail.Address) iter.Seq2[Alias, error] {
	return nil
}
func (d *Directory) UpdateAlias(ctx context.Context, a mail.Address, fn func(*Alias) error) (Alias, error) {
	return Alias{}, errors.ErrUnsupported
}
func (d *Directory) DeleteAlias(ctx context.Context, a mail.Address) error {
	return errors.ErrUnsupported
}

func (d *Directory) Resolve(ctx context.Context, rcpt mail.Address) (Route, error) {
	return Route{}, errors.ErrUnsupported
}
func (d *Directory) MaySendAs(ctx context.Context, account mail.AccountID, from mail.Address) (bool, error) {
	return false, errors.ErrUnsupported
}
func (d *Directory) Login(ctx context.Context, name string) (Credentials, error) {
	return Credentials{}, errors.ErrUnsupported
}
func (d *Directory) Secret(ctx context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }
