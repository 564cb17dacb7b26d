package directory

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// maxLogin is the longest login name that is looked for, in octets.
const maxLogin = 320

// Login gives what a login name's password is checked against. A name is an
// account's full address, or its local part alone when no other domain has
// the same. Fails with ErrNoUser or, for a local part in several domains,
// ErrAmbiguous.
func (d *Directory) Login(ctx context.Context, name string) (Credentials, error) {
	if name == "" || len(name) > maxLogin {
		return Credentials{}, ErrNoUser
	}
	var found Credentials
	err := d.ask(ctx, func(l lookup) error {
		id, err := l.loginID(name)
		if err != nil {
			return err
		}
		c, err := l.credentials(id)
		if err != nil || c == nil {
			return orElse(err, ErrNoUser, "account %s", id)
		}
		found = *c
		return nil
	})
	return found, err
}

// loginID gives the account of a login name.
func (l lookup) loginID(name string) (mail.AccountID, error) {
	if strings.IndexByte(name, '@') >= 0 {
		address, err := mail.ParseAddress(name)
		if err != nil {
			return 0, ErrNoUser
		}
		n, err := l.name(fold(address))
		if err != nil {
			return 0, err
		}
		if n == nil || n.Account == 0 {
			return 0, ErrNoUser
		}
		return n.Account, nil
	}
	b, err := l.bareName(foldLocal(name))
	switch {
	case err != nil:
		return 0, err
	case b == nil:
		return 0, ErrNoUser
	case b.ambiguous:
		return 0, ErrAmbiguous
	}
	return b.account, nil
}

// bareName gives what a folded local part stands for, nil for nothing.
func (l lookup) bareName(local string) (*bareName, error) {
	if len(local) > maxLogin || strings.IndexByte(local, 0) >= 0 {
		return nil, nil
	}
	if b, known := l.cache.bare.get(local); known {
		return b, nil
	}
	if l.reader == nil {
		return nil, errCold
	}
	var b *bareName
	prefix := bareKey(local, "")
	for item, err := range l.reader.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{Limit: 2}) {
		if err != nil {
			return nil, err
		}
		if b != nil {
			b = &bareName{ambiguous: true}
			break
		}
		b = new(bareName)
		if err := decode(item.Value, &b.account); err != nil {
			return nil, err
		}
	}
	l.cache.bare.put(local, b)
	return b, nil
}

// credentials gives those of an account, nil if there is no such account.
func (l lookup) credentials(id mail.AccountID) (*Credentials, error) {
	if c, known := l.cache.secrets.get(id); known {
		return c, nil
	}
	if l.reader == nil {
		return nil, errCold
	}
	values, err := l.reader.GetMany([][]byte{idKey(keys.DirAccount, id), idKey(keys.DirSecret, id)})
	if err != nil {
		return nil, err
	}
	if values[0] == nil {
		l.cache.secrets.put(id, nil)
		return nil, nil
	}
	var a Account
	if err := decode(values[0], &a); err != nil {
		return nil, err
	}
	c := &Credentials{Account: id, Address: a.Address, Disabled: a.Disabled}
	if values[1] != nil {
		var s secretRecord
		if err := decode(values[1], &s); err != nil {
			return nil, err
		}
		c.Hash = s.Hash
		c.SCRAM = sasl.SCRAMKeys{Salt: s.Salt, Iterations: s.Iterations, StoredKey: s.StoredKey, ServerKey: s.ServerKey}
	}
	l.cache.secrets.put(id, c)
	return c, nil
}

// SetPassword gives an account a new password, or with the empty string takes
// the password away, so that nobody can log in. The argon2id hash and the
// SCRAM keys are made of it side by side. Fails with ErrNotFound, or with
// ErrInvalid for passwords that SASL can not carry.
func (d *Directory) SetPassword(ctx context.Context, id mail.AccountID, password string) error {
	if password == "" {
		return d.update(ctx, func(tx kv.Txn) error {
			if _, err := getAccount(tx, id); err != nil {
				return err
			}
			tx.Delete(idKey(keys.DirSecret, id))
			return nil
		})
	}
	return d.putSecret(ctx, id, password, func(secretRecord) error { return nil })
}

// SetCredentials gives an account what a password of it has left behind in
// another life, as a backup holds it. Fails with ErrNotFound, or with ErrInvalid
// for what no password leaves behind.
func (d *Directory) SetCredentials(ctx context.Context, c Credentials) error {
	if _, err := parsePHC(c.Hash); err != nil {
		return fmt.Errorf("%w: hash of a password: %w", ErrInvalid, err)
	}
	if len(c.SCRAM.Salt) == 0 || c.SCRAM.Iterations <= 0 || len(c.SCRAM.StoredKey) != sha256.Size || len(c.SCRAM.ServerKey) != sha256.Size {
		return fmt.Errorf("%w: keys of a password", ErrInvalid)
	}
	return d.update(ctx, func(tx kv.Txn) error {
		if _, err := getAccount(tx, c.Account); err != nil {
			return err
		}
		return put(tx, idKey(keys.DirSecret, c.Account), secretRecord{
			c.Hash, c.SCRAM.Salt, c.SCRAM.Iterations, c.SCRAM.StoredKey, c.SCRAM.ServerKey,
		})
	})
}

// Rehash makes hash and keys of a password anew, with today's parameters, if
// the hash is still was; else it fails with ErrChanged.
func (d *Directory) Rehash(ctx context.Context, id mail.AccountID, was, password string) error {
	return d.putSecret(ctx, id, password, func(old secretRecord) error {
		if old.Hash != was {
			return ErrChanged
		}
		return nil
	})
}

// putSecret writes what a password leaves behind if permit agrees to the
// record that is there.
func (d *Directory) putSecret(ctx context.Context, id mail.AccountID, password string, permit func(secretRecord) error) error {
	fresh, err := newSecret(password)
	if err != nil {
		return err
	}
	return d.update(ctx, func(tx kv.Txn) error {
		if _, err := getAccount(tx, id); err != nil {
			return err
		}
		var old secretRecord
		value, err := tx.Get(idKey(keys.DirSecret, id))
		if err == nil {
			err = decode(value, &old)
		}
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if err := permit(old); err != nil {
			return err
		}
		return put(tx, idKey(keys.DirSecret, id), fresh)
	})
}

// idOf gives the account of a key that idKey made.
func idOf(key []byte) mail.AccountID {
	return mail.AccountID(binary.BigEndian.Uint64(key[1:9]))
}
