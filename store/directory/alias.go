package directory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// AddAlias makes an alias or a group. Targets in our domains have to lead
// somewhere already. Fails with ErrNotLocal, ErrExists, ErrNoUser (a target),
// ErrLoop, ErrTooMany or ErrInvalid.
func (d *Directory) AddAlias(ctx context.Context, now time.Time, a Alias) (Alias, error) {
	a, err := a.check()
	if err != nil {
		return Alias{}, err
	}
	a.Created = stamp(now)
	err = d.update(ctx, func(tx kv.Txn) error {
		if err := claim(tx, a.Address); err != nil {
			return err
		}
		return putAlias(tx, a)
	})
	if err != nil {
		return Alias{}, err
	}
	return a, nil
}

// Alias gives an alias or group, or ErrNotFound.
func (d *Directory) Alias(ctx context.Context, address mail.Address) (Alias, error) {
	var a Alias
	err := d.db.View(ctx, keys.Directory, func(r kv.Reader) (err error) {
		a, err = getAlias(r, address)
		return err
	})
	return a, err
}

// Aliases lists aliases and groups by domain and local part, those after the
// given address; the null address begins at the beginning.
func (d *Directory) Aliases(ctx context.Context, after mail.Address) iter.Seq2[Alias, error] {
	from := []byte{keys.DirName}
	if !after.IsNull() {
		from = nameKey(fold(after))
	}
	return func(yield func(Alias, error) bool) {
		for n, err := range list[nameRecord](ctx, d.db, from, keys.DirName) {
			switch {
			case err != nil:
				yield(Alias{}, err)
				return
			case n.Alias != nil && !yield(*n.Alias, nil):
				return
			}
		}
	}
}

// UpdateAlias changes an alias: fn gets it as it is and changes it; it may
// run more than once. Address and Created stay. Fails as AddAlias does, with
// ErrNotFound, or with what fn returned.
func (d *Directory) UpdateAlias(ctx context.Context, address mail.Address, fn func(*Alias) error) (Alias, error) {
	var a Alias
	err := d.update(ctx, func(tx kv.Txn) error {
		was, err := getAlias(tx, address)
		if err != nil {
			return err
		}
		a = was
		a.Targets = slices.Clone(was.Targets)
		if err := fn(&a); err != nil {
			return err
		}
		a.Address, a.Created = was.Address, was.Created
		if a, err = a.check(); err != nil {
			return err
		}
		dropPointers(tx, fold(was.Address), was.Targets)
		return putAlias(tx, a)
	})
	if err != nil {
		return Alias{}, err
	}
	return a, nil
}

// DeleteAlias deletes an alias or group. Fails with ErrNotFound, or ErrInUse
// while another alias or a catch-all points to it.
func (d *Directory) DeleteAlias(ctx context.Context, address mail.Address) error {
	return d.update(ctx, func(tx kv.Txn) error {
		was, err := getAlias(tx, address)
		if err != nil {
			return err
		}
		if err := unused(tx, was.Address); err != nil {
			return err
		}
		name := fold(was.Address)
		dropPointers(tx, name, was.Targets)
		tx.Delete(nameKey(name))
		return nil
	})
}

// check gives the alias as it is kept.
func (a Alias) check() (Alias, error) {
	address, err := ownAddress(a.Address)
	if err != nil {
		return Alias{}, err
	}
	a.Address = address
	switch {
	case len(a.Targets) == 0:
		return Alias{}, fmt.Errorf("%w: alias %s has no targets", ErrInvalid, address)
	case len(a.Targets) > maxRecipients:
		return Alias{}, fmt.Errorf("alias %s: %w", address, ErrTooMany)
	case len(a.Note) > maxName || !utf8.ValidString(a.Note):
		return Alias{}, fmt.Errorf("%w: alias %s: note is too long or not UTF-8", ErrInvalid, address)
	}
	targets := make([]mail.Address, 0, len(a.Targets))
	seen := make(map[mail.Address]bool, len(a.Targets))
	for _, t := range a.Targets {
		if t, err = targetAddress(t); err != nil {
			return Alias{}, fmt.Errorf("alias %s: %w", address, err)
		}
		if name := fold(t); !seen[name] {
			seen[name] = true
			targets = append(targets, t)
		}
	}
	a.Targets = targets
	return a, nil
}

func getAlias(r kv.Reader, address mail.Address) (Alias, error) {
	n, err := lookup{cache: new(cache), reader: r}.name(fold(address))
	if err != nil || n == nil || n.Alias == nil {
		return Alias{}, orElse(err, ErrNotFound, "alias %s", address)
	}
	return *n.Alias, nil
}

// putAlias writes an alias after looking where it leads.
func putAlias(tx kv.Txn, a Alias) error {
	name := fold(a.Address)
	if err := put(tx, nameKey(name), nameRecord{Alias: &a}); err != nil {
		return err
	}
	putPointers(tx, name, a.Targets)
	l := inTxn(tx) // sees the alias itself
	if err := l.checkTargets(a.Targets); err != nil {
		return fmt.Errorf("alias %s: %w", a.Address, err)
	}
	if err := l.checkLoop(name, a.Targets); err != nil {
		return fmt.Errorf("alias %s: %w", a.Address, err)
	}
	// Followed to the end, it has to keep within the limits.
	if _, err := l.expand(name, everybody); err != nil {
		return fmt.Errorf("alias %s: %w", a.Address, err)
	}
	return nil
}

// checkTargets fails with ErrNoUser for a target in a domain of ours that
// nothing is behind. That something is behind it because a catch-all takes
// everything does not count: it is most likely a slip.
func (l lookup) checkTargets(targets []mail.Address) error {
	names := make([]mail.Address, 0, 2*len(targets))
	for _, t := range targets {
		names = appendNames(names, fold(t))
	}
	if err := l.warm(names); err != nil {
		return err
	}
	for _, t := range targets {
		name := fold(t)
		domain, err := l.domain(name.Domain)
		if err != nil {
			return err
		}
		if domain == nil {
			continue
		}
		if n, _, err := l.behind(name); err != nil || n == nil {
			return orElse(err, ErrNoUser, "target %s", t)
		}
	}
	return nil
}

// checkLoop fails with ErrLoop if something among targets leads to name.
func (l lookup) checkLoop(name mail.Address, targets []mail.Address) error {
	seen := make(map[mail.Address]bool)
	for todo := slices.Clone(targets); len(todo) > 0; {
		t := fold(todo[len(todo)-1])
		todo = todo[:len(todo)-1]
		if seen[t] {
			continue
		}
		seen[t] = true
		n, at, err := l.behind(t)
		switch {
		case err != nil:
			return err
		case n == nil || n.Alias == nil:
		case at == name:
			return ErrLoop
		case len(seen) > maxRecipients:
			return ErrTooMany
		default:
			todo = append(todo, n.Alias.Targets...)
		}
	}
	return nil
}

// Each target that is, or is a subaddress of, a name in our domains is
// pointed to, so that what is in use is not deleted.

func putPointers(tx kv.Txn, source mail.Address, targets []mail.Address) {
	for _, t := range targets {
		for _, name := range appendNames(nil, fold(t)) {
			tx.Put(pointerKey(name, source), nil)
		}
	}
}

func dropPointers(tx kv.Txn, source mail.Address, targets []mail.Address) {
	for _, t := range targets {
		for _, name := range appendNames(nil, fold(t)) {
			tx.Delete(pointerKey(name, source))
		}
	}
}

// unused fails with ErrInUse if anything points to an address.
func unused(tx kv.Txn, address mail.Address) error {
	prefix := pointerKey(fold(address), mail.Address{})
	prefix = prefix[:1+16]
	used, err := holdsAny(tx, prefix, kv.PrefixEnd(prefix))
	if err != nil || used {
		return orElse(err, ErrInUse, "%s: an alias or catch-all points to it", address)
	}
	return nil
}

// appendNames appends the names that a folded address may stand under: itself
// and, for a subaddress, the name before the "+".
func appendNames(dst []mail.Address, name mail.Address) []mail.Address {
	dst = append(dst, name)
	if user, _, ok := cutDetail(name.Local); ok {
		dst = append(dst, mail.Address{Local: user, Domain: name.Domain})
	}
	return dst
}
