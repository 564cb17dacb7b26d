package directory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"time"
	"unicode/utf8"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Limits of an account's record.
const (
	maxName         = 256 // octets of an owner's name, or of a note
	maxSettings     = 64
	maxSettingKey   = 64
	maxSettingValue = 4096
	lastAccountID   = 1<<56 - 1 // of a partition, package keys
)

// idRate is how many accounts are made in a second at most, over the years. The
// last octet of an ID says on which shelf its bodies lie; a prime spreads
// them.
const idRate = 65521

// AddAccount makes an account in one of our domains, without a password, and
// gives it with its new ID. The account's mailboxes are made elsewhere, by
// mailbox.Store.Create. Fails with ErrNotLocal, ErrExists or ErrInvalid.
func (d *Directory) AddAccount(ctx context.Context, now time.Time, a Account) (Account, error) {
	if a.ID != 0 {
		return Account{}, fmt.Errorf("%w: ids are given out by the directory", ErrInvalid)
	}
	a, err := a.check()
	if err != nil {
		return Account{}, err
	}
	a.Created = stamp(now)
	err = d.update(ctx, func(tx kv.Txn) error {
		var err error
		if err = claim(tx, a.Address); err != nil {
			return err
		}
		if a.ID, err = nextID(tx, now); err != nil {
			return err
		}
		return putAccount(tx, a)
	})
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

// Account gives an account, or ErrNotFound.
func (d *Directory) Account(ctx context.Context, id mail.AccountID) (Account, error) {
	var a Account
	err := d.db.View(ctx, keys.Directory, func(r kv.Reader) (err error) {
		a, err = getAccount(r, id)
		return err
	})
	return a, err
}

// AccountByAddress gives the account whose own address this is, or
// ErrNotFound. Aliases and subaddresses lead nowhere here.
func (d *Directory) AccountByAddress(ctx context.Context, address mail.Address) (Account, error) {
	var a Account
	err := d.db.View(ctx, keys.Directory, func(r kv.Reader) error {
		n, err := lookup{cache: new(cache), reader: r}.name(fold(address))
		if err != nil || n == nil || n.Account == 0 {
			return orElse(err, ErrNotFound, "account %s", address)
		}
		a, err = getAccount(r, n.Account)
		return err
	})
	return a, err
}

// Accounts lists the accounts by ID, those after the given one.
func (d *Directory) Accounts(ctx context.Context, after mail.AccountID) iter.Seq2[Account, error] {
	return list[Account](ctx, d.db, idKey(keys.DirAccount, after), keys.DirAccount)
}

// UpdateAccount changes an account: fn gets it as it is and changes it; it
// may run more than once. ID and Created stay. An account that aliases point
// to can not change its address (ErrInUse). Fails with ErrNotFound,
// ErrExists, ErrNotLocal, ErrInvalid, or what fn returned.
func (d *Directory) UpdateAccount(ctx context.Context, id mail.AccountID, fn func(*Account) error) (Account, error) {
	var a Account
	err := d.update(ctx, func(tx kv.Txn) error {
		was, err := getAccount(tx, id)
		if err != nil {
			return err
		}
		a = was
		a.Settings = maps.Clone(was.Settings)
		if err := fn(&a); err != nil {
			return err
		}
		a.ID, a.Created = was.ID, was.Created
		if a, err = a.check(); err != nil {
			return err
		}
		if fold(a.Address) != fold(was.Address) {
			if err := unused(tx, was.Address); err != nil {
				return err
			}
			if err := claim(tx, a.Address); err != nil {
				return err
			}
		}
		dropAccount(tx, was)
		return putAccount(tx, a)
	})
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

// DeleteAccount takes an account and its password out of the directory; its
// ID is never given out again. The account's mail is deleted elsewhere. Fails
// with ErrNotFound, or ErrInUse while an alias or a catch-all points to it.
func (d *Directory) DeleteAccount(ctx context.Context, id mail.AccountID) error {
	return d.update(ctx, func(tx kv.Txn) error {
		was, err := getAccount(tx, id)
		if err != nil {
			return err
		}
		if err := unused(tx, was.Address); err != nil {
			return err
		}
		dropAccount(tx, was)
		tx.Delete(idKey(keys.DirSecret, id))
		return nil
	})
}

// check gives the account as it is kept.
func (a Account) check() (Account, error) {
	address, err := ownAddress(a.Address)
	if err != nil {
		return Account{}, err
	}
	a.Address = address
	switch {
	case len(a.Name) > maxName || !utf8.ValidString(a.Name):
		return Account{}, fmt.Errorf("%w: account %s: name is too long or not UTF-8", ErrInvalid, address)
	case a.Quota < 0:
		return Account{}, fmt.Errorf("%w: account %s: quota is negative", ErrInvalid, address)
	case len(a.Settings) > maxSettings:
		return Account{}, fmt.Errorf("%w: account %s: too many settings", ErrInvalid, address)
	}
	size := 0
	for k, v := range a.Settings {
		size += len(k) + len(v)
		if k == "" || len(k) > maxSettingKey || len(v) > maxSettingValue || !utf8.ValidString(k+v) {
			return Account{}, fmt.Errorf("%w: account %s: setting %.64q", ErrInvalid, address, k)
		}
	}
	if size > kv.DefaultLimits.Value/2 {
		return Account{}, fmt.Errorf("%w: account %s: settings are too large", ErrInvalid, address)
	}
	return a, nil
}

// claim fails unless an address is in a domain of ours and free.
func claim(tx kv.Txn, address mail.Address) error {
	l, name := inTxn(tx), fold(address)
	domain, err := l.domain(name.Domain)
	if err != nil || domain == nil {
		return orElse(err, ErrNotLocal, "domain %s", name.Domain)
	}
	taken, err := l.name(name)
	if err != nil || taken != nil {
		return orElse(err, ErrExists, "%s", address)
	}
	return nil
}

// nextID gives an ID that no account has ever had: one above all that the
// directory knows of, and not before the time. The second is for a directory that
// has been brought back to an older state and does not know what it has given out
// since: mail programs, blob stores and copies elsewhere may remember that.
func nextID(tx kv.Txn, now time.Time) (mail.AccountID, error) {
	next := mail.AccountID(1)
	value, err := tx.GetMany([][]byte{metaKey("next")})
	if err != nil {
		return 0, err
	}
	if value[0] != nil {
		if err := decode(value[0], &next); err != nil {
			return 0, err
		}
	}
	if since := now.Unix(); since > 0 {
		next = max(next, mail.AccountID(since)*idRate)
	}
	if next > lastAccountID {
		return 0, fmt.Errorf("%w: no account ids are left", ErrTooMany)
	}
	return next, put(tx, metaKey("next"), next+1)
}

func getAccount(r kv.Reader, id mail.AccountID) (Account, error) {
	values, err := r.GetMany([][]byte{idKey(keys.DirAccount, id)})
	if err != nil || values[0] == nil {
		return Account{}, orElse(err, ErrNotFound, "account %s", id)
	}
	var a Account
	return a, decode(values[0], &a)
}

func putAccount(tx kv.Txn, a Account) error {
	name := fold(a.Address)
	if err := put(tx, idKey(keys.DirAccount, a.ID), a); err != nil {
		return err
	}
	if err := put(tx, nameKey(name), nameRecord{Account: a.ID, Address: a.Address}); err != nil {
		return err
	}
	if a.Admin {
		tx.Put(idKey(keys.DirAdmin, a.ID), nil)
	}
	return put(tx, bareKey(name.Local, name.Domain), a.ID)
}

// dropAccount deletes what putAccount has put.
func dropAccount(tx kv.Txn, a Account) {
	name := fold(a.Address)
	tx.Delete(idKey(keys.DirAccount, a.ID))
	tx.Delete(nameKey(name))
	tx.Delete(idKey(keys.DirAdmin, a.ID))
	tx.Delete(bareKey(name.Local, name.Domain))
}
