package certs

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
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

	mu      sync.Mutex // guards further, and is held while a certificate is made
	further []string
}

// NewOwn signs a certificate for the names, of which there is at least one.
func NewOwn(ca *CA, names []string, now time.Time, log *slog.Logger) (*Own, error) {
	o := &Own{ca: ca, names: names, log: log}
	return o, o.issue(now)
}

func (o *Own) issue(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, err := o.ca.Issue(append(slices.Clone(o.names), o.further...), now)
	if err != nil {
		return err
	}
	o.current.Store(c)
	return nil
}

// maxFurther bounds the names in one certificate: clients read no more than some
// hundred.
const maxFurther = 100

// Further has the certificate hold names beside those of NewOwn, and none any
// more that were named before and are not now.
func (o *Own) Further(names []string, now time.Time) error {
	names = slices.Clone(names[:min(len(names), maxFurther)])
	o.mu.Lock()
	same := slices.Equal(o.further, names)
	o.further = names
	o.mu.Unlock()
	if same {
		return nil
	}
	return o.issue(now)
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
