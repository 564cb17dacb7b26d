package app

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/app/certs"
	"waxwing/dns"
	"waxwing/obs"
	"waxwing/store/tlskeys"
	"waxwing/trust/dane"
	"waxwing/trust/records"
)

// keepRetired is how long a key is remembered that the certificate does not have
// any more: another server of the same name may have it until it renews its own.
const keepRetired = 100 * 24 * time.Hour

// A serverKeys looks after the keys of the certificates that this host shows:
// that a certificate has a key only whose TLSA record everybody has seen who
// looks for one.
type serverKeys struct {
	*tlskeys.Store
	host     string
	schedule tlskeys.Schedule
	resolver resolver
	source   certs.Source
	acme     *certs.ACME // nil if certificates come from elsewhere; keys are then theirs
	log      *slog.Logger
	hurry    chan struct{} // holds a token when somebody has asked for a key
	warned   time.Time     // when it was said last that the records fit nothing; run's alone
}

// openServerKeys begins with the key that the certificate has had so far.
func (a *App) openServerKeys(ctx context.Context, now time.Time, r resolver) (*serverKeys, error) {
	k := &serverKeys{
		Store: tlskeys.New(a.stores.db), host: a.config.Hostname, resolver: r, source: a.certs.source, acme: a.certs.fetched, log: a.log, hurry: make(chan struct{}, 1),
		schedule: tlskeys.Schedule{Rotate: a.config.TLS.RotateKey.Std(), Settle: settle, Keep: keepRetired},
	}
	if k.acme == nil {
		return k, nil
	}
	had, err := k.acme.StoredKey(k.host)
	if err != nil {
		a.log.Warn("the key of the certificate cannot be read", obs.Err, err)
	}
	if err := k.Begin(ctx, now, k.host, had); err != nil {
		return nil, err
	}
	k.acme.UseKeys(k.wanted)
	return k, nil
}

// wanted gives the key that the next certificate is to have; it is called when
// one is fetched, so that it looks once more what the DNS has.
func (k *serverKeys) wanted() (crypto.Signer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	now := time.Now()
	k.advance(ctx, now)
	key, err := k.Wanted(ctx, now, k.host, k.schedule)
	return key.Private(), err
}

// chain gives what is shown to other servers.
func (k *serverKeys) chain() []*x509.Certificate {
	c, err := k.source.GetCertificate(k.hello())
	if err != nil || c == nil {
		return nil
	}
	var chain []*x509.Certificate
	for _, der := range c.Certificate {
		if parsed, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, parsed)
		}
	}
	return chain
}

// hello is what another server says when it connects: one that takes any kind of
// key.
func (k *serverKeys) hello() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: k.host, SupportedVersions: []uint16{tls.VersionTLS13}, SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		SignatureSchemes: []tls.SignatureScheme{
			tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519, tls.PSSWithSHA256, tls.PSSWithSHA384,
		},
	}
}

// shown gives the public key of the certificate that is shown.
func (k *serverKeys) shown() []byte {
	if chain := k.chain(); len(chain) > 0 {
		return chain[0].RawSubjectPublicKeyInfo
	}
	return nil
}

// lookup asks for the TLSA records of the host.
func (k *serverKeys) lookup(ctx context.Context) (*dns.Answer, error) {
	answer, err := k.resolver.Resolve(ctx, "_25._tcp."+strings.TrimSuffix(k.host, ".")+".", wire.TypeTLSA)
	if err == nil && answer.Finding.Security == dns.Bogus {
		err = fmt.Errorf("the zone's signatures are wrong: %s", answer.Finding.Reason)
	}
	return answer, err
}

// look says what the DNS has of a key. Records in a zone that is proven not to be
// signed keep nobody away. RFC 7672 §2.2
func (k *serverKeys) look(ctx context.Context, key tlskeys.Key) (tlskeys.Sight, error) {
	answer, err := k.lookup(ctx)
	if err != nil {
		return tlskeys.Sight{}, err
	}
	sight := tlskeys.Sight{None: len(answer.Records) == 0 || answer.Finding.Security == dns.Insecure}
	want := records.TLSA(key.SPKI())
	for _, rr := range answer.Records {
		if r, ok := rr.(*wire.TLSA); ok {
			sight.TTL = max(sight.TTL, time.Duration(r.Hdr.Ttl)*time.Second)
			have := fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.MatchingType, r.Certificate)
			sight.There = sight.There || strings.EqualFold(have, want)
		}
	}
	return sight, nil
}

// advance moves the keys on.
func (k *serverKeys) advance(ctx context.Context, now time.Time) {
	steps, err := k.Advance(ctx, now, k.host, k.schedule, k.shown(), k.look)
	if err != nil && ctx.Err() == nil {
		k.log.Info("the keys of certificates cannot be looked after", obs.Err, err) // the DNS does not answer, most likely
	}
	for _, step := range steps {
		k.log.Info("key of certificates", "host", step.Key.Host, "key", step.Key.Name, "step", step.What)
	}
}

// run looks after the keys until ctx ends.
func (k *serverKeys) run(ctx context.Context) error {
	for {
		wait := keysEvery
		if k.turn(ctx, time.Now()) {
			wait = keysSooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.hurry:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// turn does what is due, and tells whether somebody waits for a key.
func (k *serverKeys) turn(ctx context.Context, now time.Time) (waiting bool) {
	k.alarm(ctx, now)
	if k.acme == nil {
		return false
	}
	k.advance(ctx, now)
	all, err := k.Keys(ctx, k.host)
	if err != nil {
		k.log.Error("the keys of certificates cannot be read", obs.Err, err)
		return false
	}
	if !slices.ContainsFunc(all, func(key tlskeys.Key) bool { return key.Asked }) {
		return false // the next renewal will do
	}
	wanted, err := k.Wanted(ctx, now, k.host, k.schedule)
	if err != nil || !wanted.Asked {
		return true
	}
	renewing, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := k.acme.Renew(renewing, k.host); err != nil {
		if ctx.Err() == nil && !errors.Is(err, certs.ErrNone) {
			k.log.Error("a certificate with the next key cannot be fetched", obs.Err, err)
		}
		return true
	}
	k.advance(ctx, now)
	return false
}

// alarm says once a day if the TLSA records fit nothing: mail stays away then.
func (k *serverKeys) alarm(ctx context.Context, now time.Time) {
	chain := k.chain()
	answer, err := k.lookup(ctx)
	if err != nil || len(chain) == 0 || len(answer.Records) == 0 || answer.Finding.Security != dns.Secure || now.Sub(k.warned) < 24*time.Hour {
		return
	}
	var found []dns.TLSA
	for _, rr := range answer.Records {
		if r, ok := rr.(*wire.TLSA); ok {
			if data, err := hex.DecodeString(r.Certificate); err == nil {
				found = append(found, dns.TLSA{Usage: r.Usage, Selector: r.Selector, Matching: r.MatchingType, Data: data})
			}
		}
	}
	usable := dane.Usable(found)
	if len(usable) == 0 {
		return
	}
	if _, err := dane.Verify(now, usable, chain, []string{k.host}); err != nil {
		k.warned = now
		k.log.Error("the TLSA records do not fit the certificate: servers that heed them do not deliver here; see waxwing dns --check",
			"host", k.host, obs.Err, err)
	}
}

// published gives the keys as they are to be published.
func (k *serverKeys) published(ctx context.Context) ([]records.TLSKey, error) {
	var all []records.TLSKey
	if k.acme != nil {
		keys, err := k.Keys(ctx, k.host)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			switch key.State {
			case tlskeys.Used:
				all = append(all, records.TLSKey{SPKI: key.SPKI(), Use: records.InUse, State: "the key of the server's certificates"})
			case tlskeys.Made, tlskeys.Published:
				all = append(all, records.TLSKey{SPKI: key.SPKI(), Use: records.Next, State: "the next key, to be published before it is needed"})
			}
		}
		slices.SortStableFunc(all, func(a, b records.TLSKey) int { return int(a.Use) - int(b.Use) })
	}
	shown := k.shown()
	if k.acme != nil && !k.fetched() {
		shown = nil // that of our own until the first has come
	}
	if len(shown) > 0 && !slices.ContainsFunc(all, func(key records.TLSKey) bool { return string(key.SPKI) == string(shown) }) {
		all = append([]records.TLSKey{{SPKI: shown, Use: records.InUse, Foreign: k.acme == nil,
			State: "the key of the server's certificate; renew it with the same key"}}, all...)
	}
	return all, nil
}

// fetched tells whether the authority has given a certificate.
func (k *serverKeys) fetched() bool {
	_, err := k.acme.GetCertificate(k.hello())
	return err == nil
}

// Current gives the keys of the certificates; none if they come with them.
func (k *serverKeys) Current(ctx context.Context) ([]tlskeys.Key, error) {
	if k.acme == nil {
		return nil, nil
	}
	return k.Keys(ctx, k.host)
}

// UseNext asks for a key to be used as soon as that is safe.
func (k *serverKeys) UseNext(ctx context.Context, name string) error {
	if k.acme == nil {
		return tlskeys.ErrNotFound
	}
	if err := k.Use(ctx, k.host, name); err != nil {
		return err
	}
	select {
	case k.hurry <- struct{}{}:
	default:
	}
	return nil
}

// TLSA gives the record of a key.
func (k *serverKeys) TLSA(key tlskeys.Key) (name, data string) {
	return "_25._tcp." + key.Host, records.TLSA(key.SPKI())
}

// Advice says what an operator has to do about a key.
func (k *serverKeys) Advice(key tlskeys.Key) string {
	switch key.State {
	case tlskeys.Made:
		return "publish its record if the host has TLSA records; the key is not used before that is seen"
	case tlskeys.Published:
		if ready := key.Published.Add(key.Ready(k.schedule)); key.Asked {
			return "nothing: a certificate with it is fetched after " + ready.UTC().Format("2006-01-02 15:04") + " UTC"
		}
		return "nothing: its record must stay; it follows in its time"
	case tlskeys.Used:
		return "nothing: the certificates have it; its record must stay, if it is published"
	}
	return "remove its record, if no other server of this name has a certificate with it"
}
