package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
)

// sessions are the TLS sessions with hosts of which one thing is demanded. A
// session shows the certificates that the host had when it began, and goes on
// only where the very same was demanded of them: by the same records, names and
// fingerprints. So who publishes other TLSA records is met anew.
type sessions struct {
	all    tls.ClientSessionCache
	demand string // in few octets; "" for no proof
	// afresh says that none is resumed.
	afresh bool
}

// sessionsFor gives those that fit a demand.
func (d *dialer) sessionsFor(dm demand) sessions {
	s := sessions{all: d.tls.ClientSessionCache, afresh: dm.afresh}
	if dm.proof == noProof {
		return s
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %v", dm.proof, dm.names, dm.fingerprints)
	for _, r := range dm.tlsa {
		fmt.Fprintf(h, " %d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data)
	}
	s.demand = string(h.Sum(nil))
	return s
}

// Get implements tls.ClientSessionCache.
func (s sessions) Get(key string) (*tls.ClientSessionState, bool) {
	if s.afresh {
		return nil, false
	}
	return s.all.Get(s.demand + key)
}

// Put implements tls.ClientSessionCache.
func (s sessions) Put(key string, state *tls.ClientSessionState) { s.all.Put(s.demand+key, state) }

// forget drops the session with a host: what has not proven it will not do so the
// next time.
func (s sessions) forget(server string) { s.Put(server, nil) }

// outlived tells whether a link goes on with a session whose certificates do not
// prove any more what is demanded: one has expired since, most likely. The host
// may have others by now.
func (l *link) outlived(dm demand) bool {
	return dm.proof != noProof && !l.found.proven && l.TLS() != nil && l.TLS().DidResume
}
