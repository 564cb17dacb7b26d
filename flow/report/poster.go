package report

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"waxwing/dns"
)

const (
	// postTimeout is how long one POST may take.
	postTimeout = time.Minute
	// maxCalled is how many addresses of a host are called.
	maxCalled = 4
	// maxAnswer is how much of an answer is read: what it says does not matter.
	maxAnswer = 16 << 10
)

// A Poster sends reports by HTTPS to addresses that strangers have named: never
// to one of our own network. It is safe for concurrent use.
type Poster struct{ client *http.Client }

// PosterOptions change how a Poster works.
type PosterOptions struct {
	// Anywhere permits addresses that are not public.
	Anywhere bool
}

// NewPoster makes a Poster that looks hosts up with a resolver.
func NewPoster(r dns.Resolver, o PosterOptions) *Poster {
	return &Poster{&http.Client{
		Timeout:       postTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialPublic(ctx, r, o, network, address)
			},
			// Certificates need not hold: who cannot keep those of his mail servers
			// in order is the one who needs the report. RFC 8460 §3, §7
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, DisableCompression: true,
			ResponseHeaderTimeout: postTimeout, MaxResponseHeaderBytes: 64 << 10,
		},
	}}
}

// dialPublic connects to a host.
func dialPublic(ctx context.Context, r dns.Resolver, o PosterOptions, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		addresses = []netip.Addr{ip}
	} else if addresses, _, err = r.LookupAddr(ctx, host); err != nil {
		return nil, err
	}
	failed := fmt.Errorf("%s has no public address", host)
	called := 0
	for _, ip := range addresses {
		ip = ip.Unmap()
		if !o.Anywhere && !isPublic(ip) || called == maxCalled {
			continue
		}
		called++
		c, err := new(net.Dialer).DialContext(ctx, network, netip.AddrPortFrom(ip, uint16(port)).String())
		if err == nil {
			return c, nil
		}
		failed = err
	}
	return nil, failed
}

// isPublic tells whether an address is one of the internet's: no network of ours
// is called because a stranger wants it.
func isPublic(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, network := range notPublic {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// notPublic are networks that are nobody's or only of a place. RFC 6890 §2.2
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

// Post sends something. RFC 8460 §5.4: only an answer of success is one.
func (p *Poster) Post(ctx context.Context, url, mediaType string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", mediaType)
	request.Header.Set("User-Agent", "Waxwing")
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}
