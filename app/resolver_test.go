package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/app/config"
	"waxwing/dns/dnstest"
	"waxwing/dns/recursor"
)

func TestOpenResolver(t *testing.T) {
	server := dnstest.Serve(t, dnstest.Zone{TXT: map[string][]string{"x.test": {"yes"}}})
	broken := filepath.Join(t.TempDir(), "anchors")
	if err := os.WriteFile(broken, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		dns    config.DNS
		proves bool
		fails  bool
	}{
		"nothing said":      {config.DNS{}, true, false},
		"a resolver":        {config.DNS{Resolver: server}, true, false},
		"stub":              {config.DNS{Mode: config.ResolveStub, Resolver: server}, false, false},
		"anchors":           {config.DNS{TrustAnchors: broken}, true, true},
		"anchors not there": {config.DNS{TrustAnchors: broken + ".not"}, true, true},
	} {
		c := config.Default()
		c.Data, c.DNS = t.TempDir(), tt.dns
		a := &App{config: c, log: slog.New(slog.DiscardHandler)}
		r, err := a.openResolver()
		if tt.fails {
			if err == nil {
				t.Errorf("%s: was taken", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, proves := any(r).(*recursor.Resolver)
		if proves != tt.proves || proves && len(a.workers) == 0 {
			t.Errorf("%s: %T, %d workers", name, r, len(a.workers))
		}
	}
}

// A forwarder that strips signatures is told of in the log, since nothing
// signed can be looked up through it.
func TestProbeForwarder(t *testing.T) {
	server := dnstest.Serve(t, dnstest.Zone{TXT: map[string][]string{"x.test": {"yes"}}})
	c := config.Default()
	c.Data, c.DNS.Resolver = t.TempDir(), server
	var said bytes.Buffer
	a := &App{config: c, log: slog.New(slog.NewTextHandler(&said, nil))}
	opened, err := a.openResolver()
	if err != nil {
		t.Fatal(err)
	}
	r, ok := any(opened).(*recursor.Resolver)
	if !ok {
		t.Fatalf("%T", opened)
	}
	// Ended beforehand it still says what the answer was.
	if _, err := r.Resolve(t.Context(), ".", 6); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.probeForwarder(ctx, r); err != context.Canceled {
		t.Errorf("%v", err)
	}
	if !strings.Contains(said.String(), "do not pass signatures on") {
		t.Errorf("the log says %q", said.String())
	}
	if _, _, err := r.LookupTXT(t.Context(), "x.test"); err == nil {
		t.Error("an answer without proof was believed")
	}
}
