package submission

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
)

// URLs fetches what BURL names, from the mailboxes of this server alone.
// RFC 4468
type URLs struct {
	hosts []string
	open  func(ctx context.Context, who sasl.Identity, url string) (*imapserver.URLData, error)
}

// NewURLs makes a fetcher for URLs whose host is one of our names. open finds
// what a URL stands for; it fails with imapserver.ErrURL where the URL is worth
// nothing to who asks.
func NewURLs(hosts []string, open func(ctx context.Context, who sasl.Identity, url string) (*imapserver.URLData, error)) *URLs {
	return &URLs{hosts: hosts, open: open}
}

// Fetch implements smtpserver.Fetcher.
func (u *URLs) Fetch(ctx context.Context, who sasl.Identity, url string) (io.ReadCloser, error) {
	parsed, err := imap.ParseURL(url)
	if err != nil || parsed.Mechanism == "" {
		return nil, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 0}, Text: "IMAP URL authorization failed", Err: err}
	}
	host := parsed.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !slices.ContainsFunc(u.hosts, func(ours string) bool { return strings.EqualFold(ours, host) }) {
		// There is no other server that trusts us. RFC 4468 §3.4
		return nil, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "URL resolution requires trust relationship"}
	}
	data, err := u.open(ctx, who, url)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, imapserver.ErrURL):
		return nil, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 0}, Text: "IMAP URL authorization failed", Err: err}
	}
	return nil, err // the machine says what cannot be resolved
}
