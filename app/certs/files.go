package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/obs"
)

// A Pair names the two PEM files of one certificate: the chain, leaf first, and
// the private key.
type Pair struct{ Certificate, Key string }

// Files is a Source of certificates in files. New files take the place of the
// old when all of them are good; until then the old ones stay in use.
type Files struct {
	log     *slog.Logger
	current atomic.Pointer[[]*tls.Certificate]

	mu    sync.Mutex // guards what follows
	pairs []Pair
	seen  []stamp // of the files that were read last, good or bad
}

// A stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// OpenFiles reads the pairs, of which there is at least one.
func OpenFiles(pairs []Pair, log *slog.Logger) (*Files, error) {
	f := &Files{log: log}
	if err := f.Use(pairs); err != nil {
		return nil, err
	}
	return f, nil
}

// Use reads other pairs, or the same again, and answers with them from now on;
// or keeps what it has and says why.
func (f *Files) Use(pairs []Pair) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := stamps(pairs) // first: a change while reading is found next time
	loaded, err := load(pairs, time.Now())
	if err != nil {
		if slices.Equal(pairs, f.pairs) {
			f.seen = seen // complain once
		}
		return err
	}
	f.pairs, f.seen = slices.Clone(pairs), seen
	f.current.Store(&loaded)
	return nil
}

func load(pairs []Pair, now time.Time) ([]*tls.Certificate, error) {
	if len(pairs) == 0 {
		return nil, errors.New("no certificate files are named")
	}
	loaded := make([]*tls.Certificate, 0, len(pairs))
	for _, pair := range pairs {
		c, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", pair.Certificate, err)
		}
		if c.Leaf == nil {
			if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
				return nil, fmt.Errorf("certificate %s: %w", pair.Certificate, err)
			}
		}
		if now.After(c.Leaf.NotAfter) {
			return nil, fmt.Errorf("certificate %s has expired at %s", pair.Certificate, c.Leaf.NotAfter.Format(time.RFC3339))
		}
		loaded = append(loaded, &c)
	}
	return loaded, nil
}

func stamps(pairs []Pair) []stamp {
	var s []stamp
	for _, pair := range pairs {
		for _, file := range []string{pair.Certificate, pair.Key} {
			info, err := os.Stat(file)
			if err != nil {
				s = append(s, stamp{})
				continue
			}
			s = append(s, stamp{info.ModTime(), info.Size()})
		}
	}
	return s
}

// GetCertificate implements Source: the first certificate that the client can
// use for the name that it asks for, else the first of all.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	loaded := *f.current.Load()
	if len(loaded) == 1 {
		return loaded[0], nil
	}
	for _, c := range loaded {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return loaded[0], nil
}

// Watch looks every so often whether the files have changed, and uses them
// then, until ctx ends.
func (f *Files) Watch(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	warned := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			f.look()
			if now.Sub(warned) > 24*time.Hour {
				warned = now
				f.warn(now)
			}
		}
	}
}

func (f *Files) look() {
	f.mu.Lock()
	pairs := f.pairs
	changed := !slices.Equal(stamps(pairs), f.seen)
	f.mu.Unlock()
	if !changed {
		return
	}
	if err := f.Use(pairs); err != nil {
		f.log.Error("certificate files are bad, the old ones stay in use", obs.Err, err)
		return
	}
	f.log.Info("certificate files reloaded")
}

// warn says which certificates end soon: somebody has forgotten to renew them.
func (f *Files) warn(now time.Time) {
	const soon = 14 * 24 * time.Hour
	for _, c := range *f.current.Load() {
		if c.Leaf.NotAfter.Sub(now) < soon {
			f.log.Warn("certificate ends soon", "names", c.Leaf.DNSNames, "until", c.Leaf.NotAfter)
		}
	}
}
