package dnssec

import (
	"slices"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// A KeyState is where a key of an anchored zone stands. RFC 5011 §4.2
type KeyState string

// The states, without "start": a key that is not listed.
const (
	KeyPending KeyState = "pending" // seen, and trusted when it has stayed for 30 days
	KeyValid   KeyState = "valid"
	KeyMissing KeyState = "missing" // trusted, and not seen the last time
	KeyRevoked KeyState = "revoked" // never trusted again
)

const (
	flagSEP = 1 // RFC 4034 §2.1.1
	// addHoldDown and removeHoldDown are how long a key waits. RFC 5011 §2.4.1,
	// §2.4.2
	addHoldDown    = 30 * 24 * time.Hour
	removeHoldDown = 30 * 24 * time.Hour
	// maxTracked keys of one zone.
	maxTracked = 16
)

// A TrackedKey is a key that RFC 5011 follows.
type TrackedKey struct {
	Key   *wire.DNSKEY
	State KeyState
	Since time.Time // when it came into the state
}

// Trusted gives the anchors that follow from those configured and the keys
// that were tracked: configured ones until they are revoked, and what has
// become valid since.
func Trusted(configured []*wire.DS, tracked []TrackedKey) []*wire.DS {
	var anchors []*wire.DS
	for _, ds := range configured {
		if !slices.ContainsFunc(tracked, func(k TrackedKey) bool { return k.State == KeyRevoked && names([]*wire.DS{ds}, k.Key) }) {
			anchors = append(anchors, ds)
		}
	}
	for _, k := range tracked {
		if k.State == KeyValid || k.State == KeyMissing {
			if ds := AnchorOf(k.Key); ds != nil {
				anchors = append(anchors, ds)
			}
		}
	}
	return anchors
}

// Track goes on with a zone's keys after its DNSKEY set was fetched, which
// must hold by the anchors that are trusted now; if it does not, the finding
// says so and nothing changes. RFC 5011 §2, §4
func (c *Check) Track(tracked []TrackedKey, configured []*wire.DS, set *Set) ([]TrackedKey, dns.Finding) {
	anchors := Trusted(configured, tracked)
	if _, finding := c.Keys(set, anchors); finding.Security != dns.Secure {
		return tracked, finding
	}
	next := slices.Clone(tracked)
	seen := make([]bool, len(next), len(next)+len(set.Records))
	for _, rr := range set.Records {
		record, ok := rr.(*wire.DNSKEY)
		if !ok || record.Flags&(flagZone|flagSEP) != flagZone|flagSEP {
			continue
		}
		i := slices.IndexFunc(next, func(k TrackedKey) bool { return sameKey(k.Key, record) })
		if i < 0 && len(next) < maxTracked && record.Flags&flagRevoke == 0 {
			state := KeyPending
			if names(configured, record) {
				state = KeyValid
			}
			next = append(next, TrackedKey{Key: record, State: state, Since: c.Now})
			seen = append(seen, true)
			continue
		}
		if i >= 0 {
			seen[i] = true
			c.seen(&next[i], record, set)
		}
	}
	kept := next[:0]
	for i, k := range next {
		if !seen[i] && !c.missed(&k, configured) {
			continue
		}
		kept = append(kept, k)
	}
	return kept, secure()
}

// seen notes that a key is in the set.
func (c *Check) seen(k *TrackedKey, record *wire.DNSKEY, set *Set) {
	revoked := record.Flags&flagRevoke != 0 && c.signedBy(set, record)
	switch {
	case k.State == KeyRevoked:
	case revoked: // RFC 5011 §2.1
		k.State, k.Since, k.Key = KeyRevoked, c.Now, record
	case record.Flags&flagRevoke != 0:
	case k.State == KeyMissing:
		k.State, k.Since = KeyValid, c.Now
	case k.State == KeyPending && c.Now.Sub(k.Since) >= max(addHoldDown, time.Duration(set.TTL())*time.Second):
		k.State, k.Since = KeyValid, c.Now
	}
}

// missed notes that a key is not in the set, and tells whether it is still to
// be tracked. A configured one that was revoked is so for good: who forgot that
// would trust it again. RFC 5011 §4.2
func (c *Check) missed(k *TrackedKey, configured []*wire.DS) bool {
	switch k.State {
	case KeyPending: // it must stay all the time, RFC 5011 §2.2
		return false
	case KeyRevoked:
		return c.Now.Sub(k.Since) < removeHoldDown || names(configured, k.Key)
	case KeyValid:
		k.State, k.Since = KeyMissing, c.Now
	}
	return true
}

// signedBy tells whether a key has signed the set it is in: only who has the
// key can revoke it.
func (c *Check) signedBy(set *Set, record *wire.DNSKEY) bool {
	k := key{record: record, algorithm: record.Algorithm}
	if !supportedAlgorithm(record.Algorithm, c.SHA1) || !k.prepare() {
		return false
	}
	_, finding := c.Verify(set, &Keys{Zone: set.Name, keys: []key{k}})
	return finding.Security == dns.Secure
}

// names tells whether one of some DS records speaks of a key, revoked or not.
func names(all []*wire.DS, record *wire.DNSKEY) bool {
	plain := *record
	plain.Flags &^= flagRevoke
	return slices.ContainsFunc(all, func(ds *wire.DS) bool { return matches(ds, &plain) })
}

func sameKey(a, b *wire.DNSKEY) bool {
	return a.Algorithm == b.Algorithm && a.PublicKey == b.PublicKey
}

// RefreshAfter says when a zone's keys are to be fetched again. RFC 5011 §2.3
func (c *Check) RefreshAfter(set *Set) time.Duration {
	wait := 15 * 24 * time.Hour
	wait = min(wait, time.Duration(set.TTL())*time.Second/2)
	for _, sig := range set.Sigs {
		wait = min(wait, moment(sig.Expiration, c.Now).Sub(c.Now)/2)
	}
	return max(wait, time.Hour)
}
