package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"waxwing/dns"
)

const (
	// fetchTimeout is how long a policy may take. RFC 8461 §3.3 has a minute for
	// it.
	fetchTimeout = 20 * time.Second
	// maxAddresses is how many addresses of a host are tried.
	maxAddresses = 4
)

// A Problem says what kind of trouble there was with a policy. RFC 8460 §4.3.2.2
type Problem int

// The problems.
const (
	Unreachable Problem = iota + 1 // it cannot be fetched
	Unproven                       // the certificate of its host does not hold
	Invalid                        // it is not a policy, or its record is none
	Unknown                        // whether there is one could not be found out
)

// An Error is trouble with a policy.
type Error struct {
	Problem Problem
	Err     error
}

// Error gives the cause in words.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// A Fetcher gets policies from their hosts. It is safe for concurrent use.
type Fetcher struct {
	client *http.Client
}

// FetchOptions change how a Fetcher works.
type FetchOptions struct {
	// Roots are the authorities that are trusted; nil for the system's.
	Roots *x509.CertPool
	// Dial connects to an address; nil for the ordinary way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewFetcher makes a Fetcher that looks hosts up with a resolver.
func NewFetcher(r dns.Resolver, o FetchOptions) *Fetcher {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return &Fetcher{client: &http.Client{
		Timeout: fetchTimeout,
		// RFC 8461 §3.3: redirects must not be followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dial(ctx, r, o.Dial, network, address)
			},
			TLSClientConfig:     &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:   true,
			DisableCompression:  true,
			TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}
}

// dial connects to one of a host's addresses, as our resolver gives them.
func dial(ctx context.Context, r dns.Resolver, connect func(context.Context, string, string) (net.Conn, error), network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, _, err := r.LookupAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	for i, addr := range addrs {
		var conn net.Conn
		if conn, err = connectTo(ctx, connect, network, addr, port, len(addrs)-i); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// connectTo calls one address, and leaves time for those that are left.
func connectTo(ctx context.Context, connect func(context.Context, string, string) (net.Conn, error), network string, addr netip.Addr, port string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left+1))
		defer cancel()
	}
	return connect(ctx, network, net.JoinHostPort(addr.String(), port))
}

// URL is where the policy of a domain is. RFC 8461 §3.2
func URL(domain string) string { return "https://mta-sts." + domain + "/.well-known/mta-sts.txt" }

// Fetch gets the policy of a domain, in lower case and A-labels. Its errors are
// *Error.
func (f *Fetcher) Fetch(ctx context.Context, domain string) (Policy, error) {
	if !isHost("mta-sts." + domain) {
		return Policy{}, &Error{Invalid, fmt.Errorf("%q is not a domain that can have a policy", clip(domain))}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, URL(domain), nil)
	if err != nil {
		return Policy{}, &Error{Invalid, err}
	}
	request.Header.Set("User-Agent", "waxwing")
	answer, err := f.client.Do(request)
	if err != nil {
		var unproven *tls.CertificateVerificationError
		if errors.As(err, &unproven) {
			return Policy{}, &Error{Unproven, fmt.Errorf("the certificate of mta-sts.%s does not hold: %w", domain, unproven.Err)}
		}
		return Policy{}, &Error{Unreachable, fmt.Errorf("cannot fetch the policy: %w", err)}
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return Policy{}, &Error{Unreachable, fmt.Errorf("the policy's host answers %d", answer.StatusCode)}
	}
	if kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil && kind == "" || !strings.EqualFold(kind, "text/plain") {
		return Policy{}, &Error{Invalid, fmt.Errorf("the policy is of type %q, not text/plain", clip(answer.Header.Get("Content-Type")))}
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxSize+1))
	if err != nil {
		return Policy{}, &Error{Unreachable, fmt.Errorf("read the policy: %w", err)}
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return Policy{}, &Error{Invalid, err}
	}
	return p, nil
}
