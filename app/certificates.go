package app

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"waxwing/app/certs"
	"waxwing/app/config"
)

// certificates is where the doors' certificates come from, and what looks
// after them.
type certificates struct {
	source certs.Source
	runs   []func(context.Context) error
	files  *certs.Files                    // nil unless they come from files
	acme   func(http.Handler) http.Handler // around the http service; nil without ACME

	fetched *certs.ACME // nil without ACME
	own     *certs.Own  // nil unless all are signed by our own authority
}

// watchFiles is how often certificate files are looked at.
const watchFiles = 30 * time.Second

func openCertificates(c config.Config, o Options, sockets listeners, now time.Time, log *slog.Logger) (certificates, error) {
	switch c.TLS.Source {
	case config.SourceFiles:
		files, err := certs.OpenFiles(pairsOf(c.TLS.Files), log)
		if err != nil {
			return certificates{}, err
		}
		watch := func(ctx context.Context) error { return files.Watch(ctx, watchFiles) }
		return certificates{source: files, files: files, runs: []func(context.Context) error{watch}}, nil
	case config.SourceOwnCA:
		own, err := openOwn(c, o, now, log)
		if err != nil {
			return certificates{}, err
		}
		return certificates{source: own, own: own, runs: []func(context.Context) error{own.Run}}, nil
	}
	// Until the authority has answered, a certificate of our own lets other
	// servers deliver: they do not check it. RFC 7435 §3
	own, err := openOwn(c, o, now, log)
	if err != nil {
		return certificates{}, err
	}
	acme, err := certs.NewACME(certs.ACMEOptions{
		Names:     append([]string{c.Hostname}, c.TLS.Names...),
		Directory: c.TLS.ACME.Directory,
		Email:     c.TLS.ACME.Email,
		Roots:     c.TLS.ACME.Roots,
		Storage:   filepath.Join(c.Data, "acme"),
		HTTP:      sockets.endpoint(serviceHTTP),
		HTTPS:     sockets.endpoint(serviceHTTPS),
		Log:       log,
	})
	if err != nil {
		return certificates{}, err
	}
	return certificates{
		source:  certs.Fallback{acme, own},
		runs:    []func(context.Context) error{acme.Run, own.Run},
		acme:    acme.Handler,
		fetched: acme,
	}, nil
}

// openOwn opens, or makes, the authority in the data directory.
func openOwn(c config.Config, o Options, now time.Time, log *slog.Logger) (*certs.Own, error) {
	ca, err := openCA(c, now)
	if err != nil {
		return nil, err
	}
	return certs.NewOwn(ca, slices.Concat([]string{c.Hostname}, c.TLS.Names, o.CertificateNames), now, log)
}

func openCA(c config.Config, now time.Time) (*certs.CA, error) {
	return certs.OpenCA(c.Data, "Waxwing authority of "+c.Hostname, now)
}

func pairsOf(files []config.KeyPair) []certs.Pair {
	pairs := make([]certs.Pair, len(files))
	for i, f := range files {
		pairs[i] = certs.Pair{Certificate: f.Certificate, Key: f.Key}
	}
	return pairs
}
