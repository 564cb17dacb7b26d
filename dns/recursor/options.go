package recursor

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"
)

// Options change how a Resolver works. The zero value resolves from the root
// servers of the internet and validates with their keys.
type Options struct {
	// Hints are the root servers to begin with, instead of the built-in ones.
	Hints []netip.AddrPort
	// Port is where the servers listen that are found by delegation; 0 is 53.
	Port uint16
	// Forward names recursive servers that are asked for a zone and all below
	// it, instead of its own servers; "." is everything.
	Forward map[string][]netip.AddrPort
	// Anchors are trust anchors in zone-file form (DS or DNSKEY), instead of
	// the root's built-in ones. NoAnchors validates nothing.
	Anchors string
	// AnchorFile is where the state of RFC 5011 is kept, so that new keys of
	// the root are trusted in time. Empty for not following changes.
	AnchorFile string

	CacheBytes int // all caches together; 0 is 32 MiB
	// Stale has answers that have expired up to so long ago given when their
	// zone's servers do not answer. RFC 8767. 0 is never.
	Stale time.Duration
	// MixedCase writes names with letters of random case, and wants them back
	// so, which makes forging harder and confuses a few servers ("0x20").
	MixedCase bool
	// SHA1 takes signatures with SHA-1 for what they once were, instead of
	// counting such zones as insecure. RFC 9905
	SHA1 bool

	// Exchanger carries queries; nil is the network.
	Exchanger Exchanger
	Log       *slog.Logger // nil is silent
}

// An Exchanger sends one query to a server and gives the reply to it. It
// returns an error when none has come before the context ends. Replies to
// something else are not for it to return (Reply tells which).
type Exchanger interface {
	Exchange(ctx context.Context, server netip.AddrPort, query *wire.Msg, overTCP bool) (*wire.Msg, error)
}

// NoAnchors in Options.Anchors leaves all answers indeterminate.
const NoAnchors = "none"

const (
	defaultPort       = 53
	defaultCacheBytes = 32 << 20

	// What one question may cost. Ordinary ones take one to four exchanges, the
	// first ones after the start some fifteen.
	maxExchanges = 100
	// Names of servers that are looked up for one question, and for one zone
	// (the attack NXNS makes many).
	maxServerNames = 20
	// Questions inside questions: a zone's servers have names in another zone,
	// whose servers have names in a third.
	maxDepth = 6
	// Aliases followed.
	maxAliases = 10
	// Time for one question in all.
	questionTime = 20 * time.Second

	maxTTL         = 24 * time.Hour
	maxNegativeTTL = time.Hour        // RFC 2308 §5 allows three
	defaultNegTTL  = 30 * time.Second // for negative answers without SOA
	maxZoneTTL     = 24 * time.Hour   // delegations and keys
	failureTTL     = 5 * time.Second  // RFC 9520 §3.2, at first
	maxFailureTTL  = time.Minute      // RFC 9520 §3.2 has five
	bogusTTL       = 30 * time.Second // RFC 4035 §4.7
	// How long a newer answer is waited for where there is one that has expired,
	// and how long none is asked for after one could not be had. RFC 8767 §5
	stalePatience = 1800 * time.Millisecond
	staleTTL      = 30 * time.Second
	// Reserved for what zones hold: answers get half of the cache.
	cacheParts = 4
)
