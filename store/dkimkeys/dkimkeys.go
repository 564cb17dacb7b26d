// Package dkimkeys keeps the keys with which the mail of our domains is signed
// (trust/dkim signs), through their whole life: made, published in the DNS by
// the operator, used, retired. They are shared by all who share the store, and
// backed up with it.
//
//	made -> published -> used -> retired -> gone
//
// A key signs only once it was seen in the DNS, so that nobody gets a signature
// that cannot be verified. A new one follows each by a schedule; the one before
// stays published for as long as mail that it has signed may be under way.
package dkimkeys

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/trust/dkim"
)

// A State is where a key is in its life.
type State string

// The states.
const (
	Made      State = "made"      // its record is to be published
	Published State = "published" // it was seen in the DNS, and will be used soon
	Used      State = "used"      // it signs
	Retired   State = "retired"   // it signs no more; its record stays for a while
)

// Algorithms of keys: each domain has one of each. RFC 8463 §3 wants both, for
// those who do not know Ed25519.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519"
)

// bits of RSA keys. RFC 8301 §3.2
const bits = 2048

// A Key is one key. It prints without its secret.
type Key struct {
	Domain    string
	Selector  string
	Algorithm string // RSA or Ed25519
	Record    string // the TXT record to publish
	State     State
	// When it came into its states; zero for those to come.
	Made, Published, Used, Retired time.Time

	private crypto.Signer
}

// Name is where the record is published.
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// Signing gives what dkim signs with.
func (k Key) Signing() dkim.SigningKey {
	return dkim.SigningKey{Domain: k.Domain, Selector: k.Selector, Private: k.private}
}

// String keeps the secret out of logs.
func (k Key) String() string { return fmt.Sprintf("%s %s %s", k.Name(), k.Algorithm, k.State) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// GoString keeps the secret out of logs.
func (k Key) GoString() string { return k.String() }

// ErrNotFound: there is no such key.
var ErrNotFound = errors.New("no such key")

// A Store gives the keys. It is safe for concurrent use.
type Store struct {
	db kv.Store

	mu    sync.Mutex // guards known; not held while the store is asked
	known map[string]remembered
}

// remembered are the keys that sign for a domain.
type remembered struct {
	signing []dkim.SigningKey
	read    time.Time
}

// New makes a Store.
func New(db kv.Store) *Store { return &Store{db: db, known: map[string]remembered{}} }

// fresh is how long what was read is believed: others may change keys.
const fresh = time.Minute

// maxKnown bounds the domains whose keys are remembered.
const maxKnown = 10_000

// Signing gives the keys that sign for a domain, in lower case; none if the
// domain has none in use. It costs nothing most of the time.
func (s *Store) Signing(ctx context.Context, now time.Time, domain string) ([]dkim.SigningKey, error) {
	s.mu.Lock()
	r, ok := s.known[domain]
	s.mu.Unlock()
	if ok && now.Sub(r.read).Abs() < fresh {
		return r.signing, nil
	}
	all, err := s.Keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	r = remembered{read: now}
	for _, k := range all {
		if k.State == Used {
			r.signing = append(r.signing, k.Signing())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[domain] = r
	return r.signing, nil
}

// forget makes the next Signing read anew.
func (s *Store) forget(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, domain)
}

// Keys gives all keys of a domain, or of all domains if it is "", by domain and
// then by age.
func (s *Store) Keys(ctx context.Context, domain string) ([]Key, error) {
	var all []Key
	err := s.db.View(ctx, keys.Seals, func(r kv.Reader) (err error) {
		all, err = scan(r, domain)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return all, nil
}

// Add makes a new pair of keys for a domain, to be published.
func (s *Store) Add(ctx context.Context, now time.Time, domain string) ([]Key, error) {
	var added []Key
	for _, algorithm := range []string{RSA, Ed25519} {
		k, err := s.add(ctx, now, domain, algorithm)
		if err != nil {
			return nil, err
		}
		added = append(added, k)
	}
	return added, nil
}

func (s *Store) add(ctx context.Context, now time.Time, domain, algorithm string) (Key, error) {
	k := Key{Domain: strings.ToLower(domain), Algorithm: algorithm, State: Made, Made: now.UTC().Truncate(time.Second)}
	var err error
	if algorithm == RSA {
		k.private, err = rsa.GenerateKey(rand.Reader, bits)
	} else {
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err == nil {
		k.Record, err = k.Signing().Record()
	}
	if err != nil {
		return k, fmt.Errorf("make a key for %s: %w", domain, err)
	}
	err = kv.Apply(ctx, s.db, keys.Seals, func(tx kv.Txn) error {
		base := now.UTC().Format("20060102") + algorithm[:1]
		for n := 1; ; n++ {
			if k.Selector = base; n > 1 {
				k.Selector = fmt.Sprintf("%s%d", base, n)
			}
			_, err := tx.Get(keyOf(k.Domain, k.Selector))
			if errors.Is(err, kv.ErrNotFound) {
				return put(tx, k)
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		return k, fmt.Errorf("keep a key for %s: %w", domain, err)
	}
	return k, nil
}

// Use makes a key sign, whether it was seen in the DNS or not, and retires the
// one that it replaces.
func (s *Store) Use(ctx context.Context, now time.Time, domain, selector string) error {
	return s.change(ctx, domain, func(tx kv.Txn, all []Key) error {
		at := slices.IndexFunc(all, func(k Key) bool { return k.Selector == selector })
		if at < 0 {
			return fmt.Errorf("%w: %s of %s", ErrNotFound, selector, domain)
		}
		return use(tx, all, at, now)
	})
}

// use changes the states of a key and of those that it replaces.
func use(tx kv.Txn, all []Key, at int, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	for i := range all {
		if i != at && all[i].Algorithm == all[at].Algorithm && all[i].State == Used {
			all[i].State, all[i].Retired = Retired, now
			if err := put(tx, all[i]); err != nil {
				return err
			}
		}
	}
	k := &all[at]
	if k.State == Used {
		return nil
	}
	if k.Published.IsZero() {
		k.Published = now
	}
	k.State, k.Used, k.Retired = Used, now, time.Time{}
	return put(tx, *k)
}

// Remove drops a key at once. Mail that it has signed and that is still under
// way can be verified as long as its record stays published.
func (s *Store) Remove(ctx context.Context, domain, selector string) error {
	return s.change(ctx, domain, func(tx kv.Txn, all []Key) error {
		if !slices.ContainsFunc(all, func(k Key) bool { return k.Selector == selector }) {
			return fmt.Errorf("%w: %s of %s", ErrNotFound, selector, domain)
		}
		tx.Delete(keyOf(strings.ToLower(domain), selector))
		return nil
	})
}

// RemoveDomain drops all keys of a domain that is no longer ours.
func (s *Store) RemoveDomain(ctx context.Context, domain string) error {
	return s.change(ctx, domain, func(tx kv.Txn, all []Key) error {
		for _, k := range all {
			tx.Delete(keyOf(k.Domain, k.Selector))
		}
		return nil
	})
}

// change is a transaction over the keys of a domain.
func (s *Store) change(ctx context.Context, domain string, fn func(tx kv.Txn, all []Key) error) error {
	domain = strings.ToLower(domain)
	err := kv.Apply(ctx, s.db, keys.Seals, func(tx kv.Txn) error {
		all, err := scan(tx, domain)
		if err != nil {
			return err
		}
		return fn(tx, all)
	})
	s.forget(domain)
	if err != nil {
		return fmt.Errorf("change signing keys of %s: %w", domain, err)
	}
	return nil
}

// A row is a key as it is stored, after the version.
type row struct {
	Algorithm                      string
	Private                        []byte // PKCS #8
	State                          State
	Made, Published, Used, Retired time.Time
}

// version is the first octet of every value.
const version = 1

func keyOf(domain, selector string) []byte {
	return append(append(append([]byte{keys.SignKey}, domain...), 0), selector...)
}

func put(tx kv.Txn, k Key) error {
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	value, err := json.Marshal(row{k.Algorithm, private, k.State, k.Made, k.Published, k.Used, k.Retired})
	if err != nil {
		return err
	}
	tx.Put(keyOf(k.Domain, k.Selector), append([]byte{version}, value...))
	return nil
}

// scan reads the keys of a domain, or of all.
func scan(r kv.Reader, domain string) ([]Key, error) {
	prefix := []byte{keys.SignKey}
	if domain != "" {
		prefix = keyOf(strings.ToLower(domain), "")
	}
	var all []Key
	for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		k, err := parse(item.Key, item.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(a, b Key) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), a.Made.Compare(b.Made), -strings.Compare(a.Algorithm, b.Algorithm))
	})
	return all, nil
}

func parse(key, value []byte) (Key, error) {
	domain, selector, ok := strings.Cut(string(key[1:]), "\x00")
	if !ok || len(value) == 0 || value[0] != version {
		return Key{}, errors.New("a signing key's record has an unknown version")
	}
	var r row
	if err := json.Unmarshal(value[1:], &r); err != nil {
		return Key{}, fmt.Errorf("the record of %s._domainkey.%s: %w", selector, domain, err)
	}
	k := Key{Domain: domain, Selector: selector, Algorithm: r.Algorithm, State: r.State,
		Made: r.Made, Published: r.Published, Used: r.Used, Retired: r.Retired}
	private, err := x509.ParsePKCS8PrivateKey(r.Private)
	if err == nil {
		if k.private, ok = private.(crypto.Signer); !ok {
			err = errors.New("it cannot sign")
		}
	}
	if err == nil {
		k.Record, err = k.Signing().Record()
	}
	if err != nil {
		return k, fmt.Errorf("the key %s: %w", k.Name(), err)
	}
	return k, nil
}
