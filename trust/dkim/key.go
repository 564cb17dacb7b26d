package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/dns"
	"waxwing/dns/cache"
)

// minBits: shorter RSA keys are not believed. RFC 8301 §3.2
const minBits = 1024

// maxBits bounds the work that a stranger's key costs.
const maxBits = 8192

// A Key is a domain's public key. RFC 6376 §3.6.1
type Key struct {
	Public crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
	// Hashes are those that it may be used with; nil for all.
	Hashes []string
	// Testing: the domain tries DKIM out (t=y). Strict: the identity's domain
	// must be the signing domain itself (t=s).
	Testing, Strict bool

	rsa *rsaKey // Public, if that is an RSA key
}

// A KeyError says why there is no key.
type KeyError struct {
	Temporary bool
	Reason    string
	Err       error // nil, or what the lookup says
}

func (e *KeyError) Error() string { return e.Reason }
func (e *KeyError) Unwrap() error { return e.Err }

// LookupKey fetches the key of a selector. RFC 6376 §3.6.2. Errors are
// KeyErrors.
func LookupKey(ctx context.Context, r dns.Resolver, domain, selector string) (Key, dns.Result, error) {
	return (*Keys)(nil).Lookup(ctx, r, domain, selector)
}

// Keys remembers what keys the texts of records stand for, a bounded number: to
// read one costs a quarter of what verifying with it does. It remembers nothing
// of who publishes them. The nil Keys remembers nothing; safe for concurrent use.
type Keys struct {
	read *cache.Cache[string, Key]
}

// maxKeys is how many octets of memory keys may take.
const maxKeys = 4 << 20

// NewKeys makes one that is empty.
func NewKeys() *Keys { return &Keys{cache.New[string, Key](maxKeys)} }

// parse is ParseKey.
func (k *Keys) parse(text string) (Key, error) {
	if k == nil {
		return ParseKey(text)
	}
	key, _, ok := k.read.Peek(text)
	if ok {
		return key, nil
	}
	key, err := ParseKey(text)
	if err == nil {
		k.read.Put(text, key, 6*len(text), time.Time{})
	}
	return key, err
}

// Lookup is LookupKey.
func (k *Keys) Lookup(ctx context.Context, r dns.Resolver, domain, selector string) (Key, dns.Result, error) {
	texts, result, err := r.LookupTXT(ctx, selector+keysBelow+domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return Key{}, result, &KeyError{Reason: "no key for the signature", Err: err}
	case err != nil:
		return Key{}, result, &KeyError{Temporary: true, Reason: "the key could not be looked up", Err: err}
	}
	// RFC 6376 §3.6.2.2: what several records mean is not defined; the first
	// that is a key is taken.
	var first error
	for _, text := range texts[:min(len(texts), 4)] {
		key, err := k.parse(text)
		if err == nil {
			return key, result, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errors.New("no key for the signature")
	}
	return Key{}, result, &KeyError{Reason: first.Error()}
}

// ParseKey reads a key record. RFC 6376 §3.6.1
func ParseKey(text string) (Key, error) {
	var k Key
	tags, err := ParseTags(text)
	if err != nil {
		return k, fmt.Errorf("the key's record has %w", err)
	}
	if v, ok := tags.Get("v"); ok && (v != "DKIM1" || tags[0].Name != "v") {
		return k, errors.New("the key's version is not known")
	}
	if s, ok := tags.Get("s"); ok && !listed(s, "*") && !listed(s, "email") {
		return k, errors.New("the key is not for mail")
	}
	if h, ok := tags.Get("h"); ok {
		for hash := range strings.SplitSeq(h, ":") {
			k.Hashes = append(k.Hashes, strings.ToLower(trim(hash)))
		}
	}
	if t, ok := tags.Get("t"); ok {
		k.Testing, k.Strict = listed(t, "y"), listed(t, "s")
	}
	p, ok := tags.Get("p")
	if !ok {
		return k, errors.New("the key's record has no key")
	}
	if p == "" {
		return k, errors.New("the key was revoked") // RFC 6376 §3.6.1, p=
	}
	octets, err := decodeBase64(p)
	if err != nil {
		return k, errors.New("the key is not base64")
	}
	kind, ok := tags.Get("k")
	if !ok {
		kind = "rsa"
	}
	if k.Public, err = parsePublic(kind, octets); err != nil {
		return k, err
	}
	if public, is := k.Public.(*rsa.PublicKey); is {
		k.rsa, err = newRSAKey(public)
	}
	return k, err
}

// listed reports whether a list with colons has a word.
func listed(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(trim(w), word) {
			return true
		}
	}
	return false
}

func parsePublic(kind string, octets []byte) (crypto.PublicKey, error) {
	switch kind {
	case "rsa":
		return parseRSA(octets)
	case "ed25519": // RFC 8463 §4: the bare key
		if len(octets) != ed25519.PublicKeySize {
			return nil, errors.New("the Ed25519 key has not 32 octets")
		}
		return ed25519.PublicKey(octets), nil
	}
	return nil, fmt.Errorf("keys of type %q are not known", short(kind))
}

// parseRSA takes a SubjectPublicKeyInfo, which RFC 6376 §3.6.1 means by way of
// its examples, or an RSAPublicKey, which its text says.
func parseRSA(octets []byte) (crypto.PublicKey, error) {
	var public *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(octets); err == nil {
		var ok bool
		if public, ok = any.(*rsa.PublicKey); !ok {
			return nil, errors.New("the key is not an RSA key")
		}
	} else if public, err = x509.ParsePKCS1PublicKey(octets); err != nil {
		return nil, errors.New("the RSA key is malformed")
	}
	if public.N.BitLen() > maxBits {
		return nil, fmt.Errorf("the RSA key has more than %d bits", maxBits)
	}
	return public, nil
}

// Bits is the size of the key.
func (k Key) Bits() int {
	if p, ok := k.Public.(*rsa.PublicKey); ok {
		return p.N.BitLen()
	}
	return 256
}

// ErrWeak: the key is too short, or its hash too weak, to prove anything.
// RFC 8301
var ErrWeak = errors.New("too weak")

// Verify checks a signature over a SHA-256 digest. algorithm is that of the
// signature: "rsa-sha256" or "ed25519-sha256".
func (k Key) Verify(algorithm string, digest, sum []byte) error {
	kind, hash, _ := strings.Cut(algorithm, "-")
	if k.Hashes != nil && !slices.Contains(k.Hashes, hash) {
		return errors.New("the key is not for this hash")
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if kind != "rsa" {
			break
		}
		if public.N.BitLen() < minBits {
			return fmt.Errorf("%w: an RSA key of %d bits", ErrWeak, public.N.BitLen())
		}
		ready := k.rsa
		if ready == nil { // it does not come from ParseKey
			var err error
			if ready, err = newRSAKey(public); err != nil {
				return err
			}
		}
		if !ready.verify(digest, sum) {
			return errWrong
		}
		return nil
	case ed25519.PublicKey:
		if kind != "ed25519" {
			break
		}
		if !ed25519.Verify(public, digest, sum) { // RFC 8463 §3: of the hash
			return errWrong
		}
		return nil
	}
	return errors.New("the key is of another type than the signature")
}

var errWrong = errors.New("the signature does not fit the header")

// encodePublic gives what stands in p=.
func encodePublic(public crypto.PublicKey) ([]byte, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return x509.MarshalPKIXPublicKey(k)
	case ed25519.PublicKey:
		return k, nil
	}
	return nil, errors.New("a key of an unknown type")
}
