package recursor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnssec"
	"waxwing/obs"
)

// anchorHead is the first line of an anchor file: what it is, and its version.
const anchorHead = "; waxwing trust anchors 1"

// anchorRetry is how soon keys are fetched again that could not be.
// RFC 5011 §2.3
const anchorRetry = time.Hour

// Run keeps the trust anchors current by RFC 5011 until the context ends. It
// does nothing without an AnchorFile.
func (r *Resolver) Run(ctx context.Context) error {
	if r.options.AnchorFile == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		wait := time.Duration(1<<63 - 1)
		for zone := range r.configured {
			next, err := r.refreshAnchors(ctx, zone, time.Now())
			if err != nil && ctx.Err() == nil {
				r.log.Warn("the trust anchor's keys were not refreshed", obs.Domain, zone, obs.Err, err)
			}
			wait = min(wait, next)
		}
		timer.Reset(wait)
	}
}

// refreshAnchors fetches the keys of an anchored zone, and writes down where
// each stands. It says when to do so again.
func (r *Resolver) refreshAnchors(ctx context.Context, zone string, now time.Time) (time.Duration, error) {
	t := r.newTask(now, nil)
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	resp, err := t.iterate(ctx, zone, wire.TypeDNSKEY)
	if err != nil {
		return anchorRetry, err
	}
	set := find(resp.answer, zone, wire.TypeDNSKEY)
	if set == nil {
		return anchorRetry, errors.New("the zone has no keys")
	}
	r.anchorMu.Lock()
	defer r.anchorMu.Unlock()
	next, finding := t.check().Track(r.tracked[zone], r.configured[zone], set)
	if finding.Security != dns.Secure {
		return anchorRetry, errors.New(finding.Reason)
	}
	before := r.tracked[zone]
	r.tracked[zone] = next
	if err := r.saveAnchors(); err != nil {
		r.tracked[zone] = before
		return anchorRetry, err
	}
	for _, k := range next {
		if !wasSo(before, k) {
			r.log.Info("a trust anchor's key has a new state", obs.Domain, zone, "key", k.Key.KeyTag(), "state", k.State)
		}
	}
	r.applyAnchors()
	return t.check().RefreshAfter(set), nil
}

func wasSo(before []dnssec.TrackedKey, k dnssec.TrackedKey) bool {
	for _, b := range before {
		if b.Key.PublicKey == k.Key.PublicKey && b.State == k.State {
			return true
		}
	}
	return false
}

// applyAnchors puts what is trusted now into use.
func (r *Resolver) applyAnchors() {
	anchors := make(map[string][]*wire.DS)
	for zone, configured := range r.configured {
		anchors[zone] = dnssec.Trusted(configured, r.tracked[zone])
	}
	r.anchors.Store(&anchors)
}

// loadAnchors reads the anchor file, if there is one yet.
func (r *Resolver) loadAnchors() error {
	r.tracked = make(map[string][]dnssec.TrackedKey)
	if r.options.AnchorFile == "" {
		return nil
	}
	text, err := os.ReadFile(r.options.AnchorFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("trust anchors: %w", err)
	}
	tracked, err := parseAnchorFile(string(text))
	if err != nil {
		return fmt.Errorf("trust anchors in %s: %w", r.options.AnchorFile, err)
	}
	r.tracked = tracked
	return nil
}

// parseAnchorFile reads lines of a state, since when, and the key.
func parseAnchorFile(text string) (map[string][]dnssec.TrackedKey, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[0] != anchorHead {
		return nil, fmt.Errorf("does not begin with %q", anchorHead)
	}
	tracked := make(map[string][]dnssec.TrackedKey)
	for i, line := range lines[1:] {
		state, rest, _ := strings.Cut(line, " ")
		since, record, _ := strings.Cut(rest, " ")
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		rr, err := wire.NewRR(record)
		key, ok := rr.(*wire.DNSKEY)
		if err != nil || !ok {
			return nil, fmt.Errorf("line %d: no DNSKEY record (%v)", i+2, err)
		}
		switch dnssec.KeyState(state) {
		case dnssec.KeyPending, dnssec.KeyValid, dnssec.KeyMissing, dnssec.KeyRevoked:
		default:
			return nil, fmt.Errorf("line %d: unknown state %q", i+2, state)
		}
		zone := wire.CanonicalName(key.Hdr.Name)
		tracked[zone] = append(tracked[zone], dnssec.TrackedKey{Key: key, State: dnssec.KeyState(state), Since: at})
	}
	return tracked, nil
}

// saveAnchors writes the anchor file: a new one in the old one's place, so that
// one of them is whole whatever happens.
func (r *Resolver) saveAnchors() error {
	var b strings.Builder
	b.WriteString(anchorHead + "\n")
	for _, keys := range r.tracked {
		for _, k := range keys {
			record := strings.ReplaceAll(k.Key.String(), "\t", " ")
			fmt.Fprintf(&b, "%s %s %s\n", k.State, k.Since.UTC().Format(time.RFC3339), record)
		}
	}
	path := r.options.AnchorFile
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once it is renamed
	_, err = file.WriteString(b.String())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
