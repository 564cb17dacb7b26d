package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"waxwing/obs"
)

// ACMEOptions is what fetching certificates needs.
type ACMEOptions struct {
	Names     []string // host names, the most important first; at least one
	Directory string   // address of the authority's directory object, RFC 8555 §7.1.1
	Email     string   // contact, may be empty
	Roots     string   // PEM file of the authorities to trust for Directory; "" for the system's
	Storage   string   // directory for account and certificates

	// HTTP and HTTPS are where our own services already listen, for the
	// challenges HTTP-01 (RFC 8555 §8.3) and TLS-ALPN-01 (RFC 8737). The zero
	// value is a challenge that cannot be used. Port 80 and 443 of the names
	// must lead there.
	HTTP, HTTPS Endpoint

	Log *slog.Logger
}

// An Endpoint is where a service listens.
type Endpoint struct {
	Host string // an IP address, or "" for all of the machine
	Port int
}

// ACME is a Source of certificates that are fetched and renewed by themselves,
// at the time that the authority suggests where it does (RFC 9773). Nothing
// happens before Run.
type ACME struct {
	o      ACMEOptions
	roots  *x509.CertPool
	config atomic.Pointer[certmagic.Config]
	issuer atomic.Pointer[certmagic.ACMEIssuer]
	key    func() (crypto.Signer, error) // nil for a new one each time

	mu      sync.Mutex      // guards what follows
	run     context.Context // of Run; nil while it does not run
	cache   *certmagic.Cache
	further []string // names beside those of the options
}

// NewACME checks the options.
func NewACME(o ACMEOptions) (*ACME, error) {
	if o.HTTP.Port == 0 && o.HTTPS.Port == 0 {
		return nil, errors.New("ACME needs the http or the https service, to prove that the names are ours")
	}
	a := &ACME{o: o}
	if o.Roots == "" {
		return a, nil
	}
	text, err := os.ReadFile(o.Roots)
	if err != nil {
		return nil, err
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: holds no certificates", o.Roots)
	}
	return a, nil
}

// Run fetches what is missing and renews what ends, until ctx does. Failures
// are logged and tried again; they end nothing.
func (a *ACME) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := zap.New(&zapCore{log: a.o.Log})
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           log,
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{
		DefaultServerName:  a.o.Names[0],
		FallbackServerName: a.o.Names[0],
		Storage:            &certmagic.FileStorage{Path: a.o.Storage},
		KeySource:          keySource{a.key},
		OCSP:               certmagic.OCSPConfig{DisableStapling: true},
		Logger:             log,
	})
	issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA:                      a.o.Directory,
		TestCA:                  a.o.Directory,
		Email:                   a.o.Email,
		Agreed:                  true, // the manual of the configuration says so
		TrustedRoots:            a.roots,
		DisableHTTPChallenge:    a.o.HTTP.Port == 0,
		DisableTLSALPNChallenge: a.o.HTTPS.Port == 0,
		ListenHost:              a.o.HTTP.Host,
		AltHTTPPort:             a.o.HTTP.Port,
		AltTLSALPNPort:          a.o.HTTPS.Port,
		Logger:                  log,
	})
	config.Issuers = []certmagic.Issuer{issuer}
	a.issuer.Store(issuer)
	a.config.Store(config)
	a.mu.Lock()
	a.run, a.cache = ctx, cache
	a.manage(config, append(slices.Clone(a.o.Names), a.further...))
	a.mu.Unlock()
	<-ctx.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run = nil
	return nil
}

// manage begins to look after certificates; mu is held.
func (a *ACME) manage(config *certmagic.Config, names []string) {
	if err := config.ManageAsync(a.run, names); err != nil {
		a.o.Log.Error("certificates cannot be managed", obs.Err, err)
	}
}

// GetCertificate implements Source. It fails with ErrNone as long as nothing
// has been fetched.
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	config := a.config.Load()
	if config == nil {
		return nil, ErrNone
	}
	if hello.Conn == nil {
		return a.held(hello.ServerName) // certmagic asks the connection who it is
	}
	c, err := config.GetCertificate(hello)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return c, nil
}

// Protocol is the ALPN name that the https service must offer besides its own.
// RFC 8737 §3
const Protocol = "acme-tls/1"

// Handler answers the authority's HTTP-01 requests and hands all others on.
func (a *ACME) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if issuer := a.issuer.Load(); issuer != nil && issuer.HandleHTTPChallenge(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}
