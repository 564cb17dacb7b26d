package directory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// pageSize is how many records a listing reads at once. Between two pages the
// directory may change; a listing never shows a record twice.
const pageSize = 256

// AddDomain makes a domain ours and gives it as it is kept. The catch-all, if
// any, has to be an address that leads somewhere. Fails with ErrExists,
// ErrInvalid or ErrNoUser (the catch-all).
func (d *Directory) AddDomain(ctx context.Context, now time.Time, domain Domain) (Domain, error) {
	name, err := ownDomain(domain.Name)
	if err != nil {
		return Domain{}, err
	}
	made := Domain{Name: name, Created: stamp(now)}
	err = d.update(ctx, func(tx kv.Txn) error {
		if was, err := inTxn(tx).domain(name); err != nil || was != nil {
			return orElse(err, ErrExists, "domain %s", name)
		}
		if err := put(tx, domainKey(name), Domain{Name: name}); err != nil { // ours from here on
			return err
		}
		if made.CatchAll, err = inTxn(tx).catchAll(tx, name, domain.CatchAll); err != nil {
			return err
		}
		return put(tx, domainKey(name), made)
	})
	return made, err
}

// catchAll points a domain to its catch-all, if there is one, and gives it as
// it is kept.
func (l lookup) catchAll(tx kv.Txn, domain string, to mail.Address) (mail.Address, error) {
	if to == (mail.Address{}) {
		return to, nil
	}
	to, err := targetAddress(to)
	if err != nil {
		return mail.Address{}, err
	}
	if err := l.checkTargets([]mail.Address{to}); err != nil {
		return mail.Address{}, err
	}
	putPointers(tx, mail.Address{Domain: domain}, []mail.Address{to})
	return to, nil
}

// Domain gives a domain of ours, or ErrNotFound.
func (d *Directory) Domain(ctx context.Context, name string) (Domain, error) {
	name = foldDomain(name)
	var domain Domain
	err := d.ask(ctx, func(l lookup) error {
		found, err := l.domain(name)
		if err != nil || found == nil {
			return orElse(err, ErrNotFound, "domain %s", name)
		}
		domain = *found
		return nil
	})
	return domain, err
}

// IsLocal tells whether a domain is ours.
func (d *Directory) IsLocal(ctx context.Context, domain string) (bool, error) {
	if c := d.current.Load(); c != nil { // asked several times for each message
		if found, known := c.domains.get(foldDomain(domain)); known {
			return found != nil, nil
		}
	}
	_, err := d.Domain(ctx, domain)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Domains lists the domains by name, those after the given one.
func (d *Directory) Domains(ctx context.Context, after string) iter.Seq2[Domain, error] {
	return list[Domain](ctx, d.db, domainKey(foldDomain(after)), keys.DirDomain)
}

// SomeDomains gives the names of the first 64 domains. The slice is shared and
// must not be changed.
func (d *Directory) SomeDomains(ctx context.Context) ([]string, error) {
	var names []string
	err := d.ask(ctx, func(l lookup) error {
		if some := l.cache.some.Load(); some != nil {
			names = *some
			return nil
		}
		if l.reader == nil {
			return errCold
		}
		names = nil
		prefix := []byte{keys.DirDomain}
		for item, err := range l.reader.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{Limit: 64, KeysOnly: true}) {
			if err != nil {
				return err
			}
			names = append(names, string(item.Key[1:]))
		}
		l.cache.some.Store(&names)
		return nil
	})
	return names, err
}

// UpdateDomain changes a domain: fn gets it as it is and changes it; it may
// run more than once. Only the catch-all can change. The catch-all has to be
// an address that leads somewhere, or null. Fails with ErrNotFound,
// ErrInvalid, or what fn returned.
func (d *Directory) UpdateDomain(ctx context.Context, name string, fn func(*Domain) error) (Domain, error) {
	name = foldDomain(name)
	var domain Domain
	err := d.update(ctx, func(tx kv.Txn) error {
		l := inTxn(tx)
		was, err := l.domain(name)
		if err != nil || was == nil {
			return orElse(err, ErrNotFound, "domain %s", name)
		}
		domain = *was
		if err := fn(&domain); err != nil {
			return err
		}
		if domain.Name != was.Name {
			return fmt.Errorf("%w: a domain can not be renamed", ErrInvalid)
		}
		domain.Created = was.Created
		if was.CatchAll != (mail.Address{}) {
			dropPointers(tx, mail.Address{Domain: name}, []mail.Address{was.CatchAll})
		}
		if domain.CatchAll, err = l.catchAll(tx, name, domain.CatchAll); err != nil {
			return err
		}
		return put(tx, domainKey(name), domain)
	})
	return domain, err
}

// DeleteDomain makes a domain strange again. Fails with ErrInUse while it
// holds accounts or aliases.
func (d *Directory) DeleteDomain(ctx context.Context, name string) error {
	name = foldDomain(name)
	return d.update(ctx, func(tx kv.Txn) error {
		was, err := inTxn(tx).domain(name)
		if err != nil || was == nil {
			return orElse(err, ErrNotFound, "domain %s", name)
		}
		prefix := nameKey(mail.Address{Domain: name})
		used, err := holdsAny(tx, prefix, kv.PrefixEnd(prefix))
		if err != nil || used {
			return orElse(err, ErrInUse, "domain %s has accounts or aliases", name)
		}
		if was.CatchAll != (mail.Address{}) {
			dropPointers(tx, mail.Address{Domain: name}, []mail.Address{was.CatchAll})
		}
		tx.Delete(domainKey(name))
		return nil
	})
}

// orElse gives err, or if that is nil the sentinel with what it is about.
func orElse(err, sentinel error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), sentinel)
}

// stamp gives a time as records keep it.
func stamp(now time.Time) time.Time { return now.UTC().Truncate(time.Second) }

func put(tx kv.Txn, key []byte, v any) error {
	value, err := encode(v)
	if err != nil {
		return err
	}
	if len(value) > kv.DefaultLimits.Value || len(key) > kv.DefaultLimits.Key {
		return fmt.Errorf("%w: record is too large", ErrInvalid)
	}
	tx.Put(key, value)
	return nil
}

// holdsAny tells whether there is a key in the range.
func holdsAny(r kv.Reader, lo, hi []byte) (bool, error) {
	for _, err := range r.Scan(lo, hi, kv.ScanOptions{Limit: 1, KeysOnly: true}) {
		return err == nil, err
	}
	return false, nil
}

// list yields the records under a prefix whose keys are above after.
func list[V any](ctx context.Context, db kv.Store, after []byte, prefix byte) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		end := kv.PrefixEnd([]byte{prefix})
		for {
			page := make([]V, 0, pageSize)
			var last []byte
			err := db.View(ctx, keys.Directory, func(r kv.Reader) error {
				page = page[:0]
				from := append(after[:len(after):len(after)], 0)
				for item, err := range r.Scan(from, end, kv.ScanOptions{Limit: pageSize}) {
					if err != nil {
						return err
					}
					var v V
					if err := decode(item.Value, &v); err != nil {
						return err
					}
					page = append(page, v)
					last = append(last[:0], item.Key...)
				}
				return nil
			})
			if err != nil {
				var none V
				yield(none, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = last
		}
	}
}
