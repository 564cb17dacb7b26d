// Package tlskeys keeps the keys of the certificates that a server shows, so
// that their TLSA records (DANE, RFC 7672) can be published before they are
// needed. There is always a next key beside the one in use, and both are
// published:
//
//	made -> published -> used -> retired -> gone
//
// Certificates are renewed with the key that they have. The next key follows
// only once its record was seen in the DNS for longer than anybody remembers
// records without it (RFC 7671 §8.1), with a certificate that is fetched for it;
// from then on it counts as used, and another is made. Keys are of a host: all
// who share the store see them, and each host has its own.
package tlskeys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A State is where a key is in its life.
type State string

// The states.
const (
	Made      State = "made"      // its record is to be published
	Published State = "published" // it was seen in the DNS, or none is needed
	Used      State = "used"      // it is the certificate's
	Retired   State = "retired"   // no certificate of this host has it any more
)

// A Key is one key. It prints without its secret.
type Key struct {
	Host  string
	Name  string // such as "tls20261122"
	State State
	// When it came into its states; zero for those to come.
	Made, Published, Used, Retired time.Time
	// TTL is how long the records without this one may be remembered.
	TTL time.Duration
	// Free says that there were no records that it would have to be among when it
	// was looked last.
	Free bool
	// Asked says that an administrator wants it used without waiting for the
	// schedule.
	Asked bool

	private crypto.Signer
	spki    []byte
}

// Private gives the key itself.
func (k Key) Private() crypto.Signer { return k.private }

// SPKI gives the public key as certificates hold it, in DER.
func (k Key) SPKI() []byte { return k.spki }

// String keeps the secret out of logs.
func (k Key) String() string { return fmt.Sprintf("%s of %s %s", k.Name, k.Host, k.State) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// GoString keeps the secret out of logs.
func (k Key) GoString() string { return k.String() }

// ErrNotFound: there is no such key.
var ErrNotFound = errors.New("no such key")

// A Store gives the keys. It is safe for concurrent use.
type Store struct{ db kv.Store }

// New makes a Store.
func New(db kv.Store) *Store { return &Store{db} }

// Keys gives all keys of a host, the oldest first.
func (s *Store) Keys(ctx context.Context, host string) ([]Key, error) {
	var all []Key
	err := s.db.View(ctx, keys.Seals, func(r kv.Reader) (err error) {
		all, err = scan(r, host)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the keys of certificates: %w", err)
	}
	return all, nil
}

// Begin makes the first keys of a host that has none: private is that of the
// certificate it has, or nil to make one, and is used from here; the other is
// the next.
func (s *Store) Begin(ctx context.Context, now time.Time, host string, private crypto.Signer) error {
	if private == nil {
		var err error
		if private, err = generate(); err != nil {
			return err
		}
	}
	return s.change(ctx, host, func(tx kv.Txn, all []Key) error {
		if len(all) > 0 {
			return nil
		}
		now := now.UTC().Truncate(time.Second)
		first := Key{Host: normal(host), State: Used, Made: now, Published: now, Used: now, private: private}
		_, err := add(tx, all, first)
		return err
	})
}

// Use asks for a key to be used as soon as its record is seen for long enough.
func (s *Store) Use(ctx context.Context, host, name string) error {
	return s.change(ctx, host, func(tx kv.Txn, all []Key) error {
		at := slices.IndexFunc(all, func(k Key) bool { return k.Name == name && (k.State == Made || k.State == Published) })
		if at < 0 {
			return fmt.Errorf("%w that could follow: %s of %s", ErrNotFound, name, host)
		}
		all[at].Asked = true
		return put(tx, all[at])
	})
}

// change is a transaction over the keys of a host.
func (s *Store) change(ctx context.Context, host string, fn func(tx kv.Txn, all []Key) error) error {
	err := kv.Apply(ctx, s.db, keys.Seals, func(tx kv.Txn) error {
		all, err := scan(tx, host)
		if err != nil {
			return err
		}
		return fn(tx, all)
	})
	if err != nil {
		return fmt.Errorf("change the keys of the certificates of %s: %w", host, err)
	}
	return nil
}

func generate() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// add keeps a key under a name that is free, and gives it with that.
func add(tx kv.Txn, all []Key, k Key) (Key, error) {
	base := "tls" + k.Made.Format("20060102")
	for n := 1; ; n++ {
		if k.Name = base; n > 1 {
			k.Name = fmt.Sprintf("%s-%d", base, n)
		}
		if !slices.ContainsFunc(all, func(other Key) bool { return other.Name == k.Name }) {
			return k, put(tx, k)
		}
	}
}

// A row is a key as it is stored, after the version.
type row struct {
	Private                        []byte // PKCS #8
	State                          State
	Made, Published, Used, Retired time.Time
	TTL                            time.Duration
	Free                           bool
	Asked                          bool
}

// version is the first octet of every value.
const version = 1

func normal(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func keyOf(host, name string) []byte {
	return append(append(append([]byte{keys.CertKey}, normal(host)...), 0), name...)
}

func put(tx kv.Txn, k Key) error {
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	value, err := json.Marshal(row{private, k.State, k.Made, k.Published, k.Used, k.Retired, k.TTL, k.Free, k.Asked})
	if err != nil {
		return err
	}
	tx.Put(keyOf(k.Host, k.Name), append([]byte{version}, value...))
	return nil
}

// scan reads the keys of a host.
func scan(r kv.Reader, host string) ([]Key, error) {
	prefix := keyOf(host, "")
	var all []Key
	for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		k, err := parse(normal(host), string(item.Key[len(prefix):]), item.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(a, b Key) int { return a.Made.Compare(b.Made) })
	return all, nil
}

func parse(host, name string, value []byte) (Key, error) {
	if len(value) == 0 || value[0] != version {
		return Key{}, errors.New("the record of a certificate's key has an unknown version")
	}
	var r row
	if err := json.Unmarshal(value[1:], &r); err != nil {
		return Key{}, fmt.Errorf("the record of the key %s of %s: %w", name, host, err)
	}
	k := Key{Host: host, Name: name, State: r.State, Made: r.Made, Published: r.Published, Used: r.Used, Retired: r.Retired, TTL: r.TTL, Free: r.Free, Asked: r.Asked}
	private, err := x509.ParsePKCS8PrivateKey(r.Private)
	if err == nil {
		var ok bool
		if k.private, ok = private.(crypto.Signer); !ok {
			err = errors.New("it cannot sign")
		}
	}
	if err == nil {
		k.spki, err = x509.MarshalPKIXPublicKey(k.private.Public())
	}
	if err != nil {
		return k, fmt.Errorf("the key %s of %s: %w", name, host, err)
	}
	return k, nil
}

// has tells whether a certificate's public key is this one.
func (k Key) has(spki []byte) bool { return len(spki) > 0 && bytes.Equal(k.spki, spki) }
