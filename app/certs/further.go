package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
)

// Further has certificates fetched and renewed for names beside those of the
// options, each of which must lead here; and none any more for those that were
// named before and are not now.
func (a *ACME) Further(names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.further
	a.further = slices.Clone(names)
	if a.run == nil {
		return // Run does it
	}
	var dropped []certmagic.SubjectIssuer
	for _, name := range before {
		if !slices.Contains(names, name) && !slices.Contains(a.o.Names, name) {
			dropped = append(dropped, certmagic.SubjectIssuer{Subject: name})
		}
	}
	a.cache.RemoveManaged(dropped)
	a.manage(a.config.Load(), slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(before, name) }))
}

// UseKeys says which private key the next certificate is to have. It is called
// before Run.
func (a *ACME) UseKeys(key func() (crypto.Signer, error)) { a.key = key }

// A keySource gives certmagic its keys.
type keySource struct{ key func() (crypto.Signer, error) }

// GenerateKey implements certmagic.KeyGenerator.
func (k keySource) GenerateKey() (crypto.PrivateKey, error) {
	if k.key == nil {
		return certmagic.DefaultKeyGenerator.GenerateKey()
	}
	return k.key()
}

// Renew fetches a certificate for a name before its time, to give it another
// key. It fails with ErrNone if there is none to renew.
func (a *ACME) Renew(ctx context.Context, name string) error {
	a.mu.Lock()
	config, cache, running := a.config.Load(), a.cache, a.run != nil
	a.mu.Unlock()
	if !running {
		return ErrNone
	}
	old := cache.AllMatchingCertificates(name)
	if len(old) == 0 {
		return ErrNone
	}
	if err := config.RenewCertSync(ctx, name, true); err != nil {
		return fmt.Errorf("renew the certificate for %s: %w", name, err)
	}
	// The new one takes the place of the old one in memory, and there is one at
	// any time.
	renewed, err := config.CacheManagedCertificate(ctx, name)
	if err != nil {
		return fmt.Errorf("use the renewed certificate for %s: %w", name, err)
	}
	for _, c := range old {
		if c.Hash() != renewed.Hash() {
			cache.Remove([]string{c.Hash()})
		}
	}
	return nil
}

// held gives the newest certificate for a name, to be looked at.
func (a *ACME) held(name string) (*tls.Certificate, error) {
	a.mu.Lock()
	cache := a.cache
	a.mu.Unlock()
	if cache == nil {
		return nil, ErrNone
	}
	var newest *tls.Certificate
	for _, c := range cache.AllMatchingCertificates(name) {
		if c.Leaf == nil {
			continue
		}
		if newest == nil || c.Leaf.NotBefore.After(newest.Leaf.NotBefore) {
			newest = &c.Certificate
		}
	}
	if newest == nil {
		return nil, ErrNone
	}
	return newest, nil
}

// StoredKey gives the key of the certificate for a name that was fetched before;
// nil if there is none.
func (a *ACME) StoredKey(name string) (crypto.Signer, error) {
	name = certmagic.StorageKeys.Safe(name)
	files, err := filepath.Glob(filepath.Join(a.o.Storage, "certificates", "*", name, name+".key"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	newest := slices.MaxFunc(files, func(a, b string) int { return modified(a).Compare(modified(b)) })
	text, err := os.ReadFile(newest)
	if err != nil {
		return nil, err
	}
	key, err := certmagic.PEMDecodePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", newest, err)
	}
	return key, nil
}

// modified gives when a file was written last; long ago if that cannot be told.
func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
