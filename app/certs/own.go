package certs

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"waxwing/obs"
)

// Own is a Source whose one certificate is signed by our own authority.
type Own struct {
	ca      *CA
	names   []string
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
}

// NewOwn signs a certificate for the names, of which there is at least one.
func NewOwn(ca *CA, names []string, now time.Time, log *slog.Logger) (*Own, error) {
	o := &Own{ca: ca, names: names, log: log}
	return o, o.issue(now)
}

func (o *Own) issue(now time.Time) error {
	c, err := o.ca.Issue(o.names, now)
	if err != nil {
		return err
	}
	o.current.Store(c)
	return nil
}

// GetCertificate implements Source.
func (o *Own) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return o.current.Load(), nil
}

// Run renews the certificate before it ends, until ctx does.
func (o *Own) Run(ctx context.Context) error {
	const pause = 12 * time.Hour
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		if now.Before(o.current.Load().Leaf.NotAfter.Add(-leafRenewal)) {
			continue
		}
		if err := o.issue(now); err != nil {
			o.log.Error("own certificate cannot be renewed", obs.Err, err)
			continue
		}
		o.log.Info("own certificate renewed", "until", o.current.Load().Leaf.NotAfter)
	}
}
