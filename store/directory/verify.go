package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Finding is something that is not as it must be, in words.
type Finding struct {
	What   string // what is wrong, and where
	Means  string // what that means
	Repair string // what repairing does, or who must do it
	Mended bool
	Failed string // why it could not be mended
}

// Verify checks what must hold in the directory, and calls found for each
// thing that is wrong, after mending it where that is asked for and can be:
// what is derived from accounts and aliases is written again, and what a
// person must decide is only told.
func (d *Directory) Verify(ctx context.Context, repair bool, found func(Finding)) error {
	var v verification
	err := d.db.View(ctx, keys.Directory, func(r kv.Reader) error {
		v = verification{r: r, accounts: make(map[mail.AccountID]Account), names: make(map[string]bool)}
		return v.run()
	})
	if err != nil {
		return err
	}
	for _, w := range v.list {
		if repair && w.fix != nil {
			if err := d.update(ctx, w.fix); err != nil {
				w.Failed = err.Error()
			} else {
				w.Mended = true
			}
		}
		found(w.Finding)
	}
	return nil
}

// A wrong is a finding with what mends it; nil if a person must.
type wrong struct {
	Finding
	fix func(kv.Txn) error
}

type verification struct {
	r        kv.Reader
	accounts map[mail.AccountID]Account
	names    map[string]bool // keys that accounts and aliases have
	list     []wrong
}

func (v *verification) wrong(fix func(kv.Txn) error, means, repair, format string, args ...any) {
	v.list = append(v.list, wrong{Finding{What: fmt.Sprintf(format, args...), Means: means, Repair: repair}, fix})
}

func (v *verification) run() error {
	for _, step := range []func() error{v.checkDomains, v.checkAccounts, v.checkNames, v.checkPointers} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each goes through the rows under a prefix.
func (v *verification) each(prefix byte, fn func(key, value []byte) error) error {
	for it, err := range v.r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if err := fn(slices.Clone(it.Key), slices.Clone(it.Value)); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) has(key []byte) (bool, error) {
	got, err := v.r.GetMany([][]byte{key})
	return err == nil && got[0] != nil, err
}

func (v *verification) checkDomains() error {
	return v.each(keys.DirDomain, func(key, value []byte) error {
		var d Domain
		if err := decode(value, &d); err != nil {
			name := string(key[1:])
			v.wrong(func(tx kv.Txn) error { return put(tx, key, Domain{Name: name}) }, "its mail is refused for now",
				"makes it anew, without a catch-all", "the record of domain %s cannot be read", name)
		}
		return nil
	})
}

func (v *verification) checkAccounts() error {
	var top mail.AccountID
	err := v.each(keys.DirAccount, func(key, value []byte) error {
		if len(key) != 9 {
			return nil
		}
		id := mail.AccountID(binary.BigEndian.Uint64(key[1:]))
		top = max(top, id)
		var a Account
		if err := decode(value, &a); err != nil || a.ID != id {
			v.wrong(nil, "its owner cannot log in, and its mail is set aside", "nobody but you can: take the directory from a backup",
				"the record of account %s cannot be read", id)
			return nil
		}
		v.accounts[id] = a
		name := fold(a.Address)
		for _, derived := range [][]byte{nameKey(name), bareKey(name.Local, name.Domain)} {
			v.names[string(derived)] = true
			ok, err := v.has(derived)
			if err != nil {
				return err
			}
			if !ok {
				v.wrong(func(tx kv.Txn) error { return putAccount(tx, a) }, "no mail arrives for it, or it cannot log in", "writes it down again",
					"account %s is not found by its name", a.Address)
			}
		}
		if ok, err := v.has(domainKey(name.Domain)); err != nil || !ok {
			if err == nil {
				v.wrong(nil, "its mail is refused", "nobody but you can: waxwing domain add "+name.Domain, "account %s is in a domain that is not one of ours", a.Address)
			}
			return err
		}
		admin, err := v.has(idKey(keys.DirAdmin, id))
		if err == nil && admin != a.Admin {
			v.wrong(func(tx kv.Txn) error {
				tx.Delete(idKey(keys.DirAdmin, id))
				return putAccount(tx, a)
			}, "mail for postmaster may go astray", "goes by the account", "account %s is an admin's by its record or by the list of admins, but not by both", a.Address)
		}
		return err
	})
	if err != nil {
		return err
	}
	got, err := v.r.GetMany([][]byte{metaKey("next")})
	if err != nil || got[0] == nil && top == 0 {
		return err
	}
	var next mail.AccountID
	if got[0] == nil || decode(got[0], &next) != nil || next <= top {
		v.wrong(func(tx kv.Txn) error { return put(tx, metaKey("next"), top+1) }, "a new account could get the mail of an old one",
			"raises it", "the number of the next account is not above all that there are")
	}
	return nil
}

// checkNames looks at what every name stands for.
func (v *verification) checkNames() error {
	l := lookup{cache: new(cache), reader: v.r}
	return v.each(keys.DirName, func(key, value []byte) error {
		var n nameRecord
		domain, local, _ := bytes.Cut(key[1:], []byte{0})
		name := mail.Address{Local: string(local), Domain: string(domain)}
		if err := decode(value, &n); err != nil {
			v.wrong(func(tx kv.Txn) error { tx.Delete(key); return nil }, "mail for it cannot be taken", "forgets it; if it was an account's it comes back, if an alias it must be made anew",
				"what %s stands for cannot be read", name)
			return nil
		}
		if n.Alias == nil {
			if a, ok := v.accounts[n.Account]; !ok || string(nameKey(fold(a.Address))) != string(key) {
				v.wrong(func(tx kv.Txn) error { tx.Delete(key); return nil }, "mail for it is taken and goes nowhere", "forgets it",
					"%s leads to account %s, which has another address or none", name, n.Account)
			}
			return nil
		}
		a := *n.Alias
		for _, t := range a.Targets {
			for _, to := range appendNames(nil, fold(t)) {
				ok, err := v.has(pointerKey(to, name))
				if err != nil {
					return err
				}
				if !ok {
					v.wrong(func(tx kv.Txn) error { putPointers(tx, name, a.Targets); return nil }, "what it leads to could be deleted", "writes it down again",
						"%s leads to %s, and that does not know it", a.Address, t)
				}
			}
		}
		err := l.checkTargets(a.Targets)
		if errors.Is(err, ErrNoUser) {
			v.wrong(nil, "mail for it is refused, or part of it", "nobody but you can: waxwing alias set "+a.Address.String(), "alias %s leads nowhere: %v", a.Address, err)
			return nil
		}
		if len(v.list) > 0 {
			return nil // a record on the way cannot be read, and that has been told
		}
		return err
	})
}

// checkPointers looks for those of aliases and catch-alls that are gone.
func (v *verification) checkPointers() error {
	return v.each(keys.DirPointer, func(key, _ []byte) error {
		if len(key) < 18 {
			return nil
		}
		domain, local, _ := bytes.Cut(key[17:], []byte{0})
		source := nameKey(mail.Address{Local: string(local), Domain: string(domain)})
		if len(local) == 0 {
			source = domainKey(string(domain))
		}
		ok, err := v.has(source)
		if err == nil && !ok {
			v.wrong(func(tx kv.Txn) error { tx.Delete(key); return nil }, "an account or alias cannot be deleted", "removes it",
				"something is said to be led to by %s@%s, which is gone", local, domain)
		}
		return err
	})
}
