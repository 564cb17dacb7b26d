// Package wellknown is the door for programs that look for something under a
// name of one of our domains, over HTTPS: other mail servers, for how its mail
// must travel (MTA-STS, RFC 8461 §3.2), and mail programs, for how to reach the
// servers of an account.
//
//	https://mta-sts.DOMAIN/.well-known/mta-sts.txt
//	https://autoconfig.DOMAIN/mail/config-v1.1.xml              Thunderbird and others
//	https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml  the same
//	https://HOST/autodiscover/autodiscover.xml (POST)           Outlook
//
// Nothing tells which accounts there are: an answer depends on the domain alone.
package wellknown

import (
	"context"
	"net"
	"net/http"
	"strings"

	"waxwing/mail"
)

// Domains are those whose mail is ours.
type Domains interface {
	IsLocal(ctx context.Context, domain string) (bool, error)
}

// Options is what is told.
type Options struct {
	Domains Domains
	// Policy gives the MTA-STS policy of a domain of ours as it is served; empty
	// for none.
	Policy func(domain string) string
	// Host is the name by which programs reach the services.
	Host string
	// Services are those for mail programs, the preferred first.
	Services []Service
}

// A Service is one that mail programs use.
type Service struct {
	Type     string // "imap", "pop3" or "smtp"
	Port     int
	STARTTLS bool // else TLS from the first byte
}

// The names below a domain that are asked for.
const (
	PolicyHost     = "mta-sts."    // RFC 8461 §3.3
	AutoconfigHost = "autoconfig." // where Thunderbird looks first
)

// Handler answers what is asked for by programs, and hands all else on.
func Handler(o Options, next http.Handler) http.Handler {
	d := door{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/mta-sts.txt", d.policy)
	mux.HandleFunc("GET /mail/config-v1.1.xml", d.autoconfig)
	mux.HandleFunc("GET /.well-known/autoconfig/mail/config-v1.1.xml", d.autoconfig)
	mux.HandleFunc("POST "+autodiscoverPath, d.autodiscover)
	mux.Handle("/", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.URL.Path, autodiscoverPath) { // Outlook writes it with capitals
			r.URL.Path = autodiscoverPath
		}
		mux.ServeHTTP(w, r)
	})
}

// A door answers.
type door struct{ o Options }

// host gives the name that a request is for, without the port.
func host(r *http.Request) string {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// local gives a domain of ours as it is kept.
func (d door) local(ctx context.Context, name string) (string, bool) {
	domain, err := mail.ParseDomain(name)
	if err != nil {
		return "", false
	}
	ours, err := d.o.Domains.IsLocal(ctx, domain)
	return domain, ours && err == nil
}

// maxAge is how long answers may be kept by what is between: shorter than any
// change of ours takes to be needed.
const maxAge = "max-age=300"

// policy serves the policy of a domain.
func (d door) policy(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(host(r), PolicyHost)
	if !ok {
		http.NotFound(w, r)
		return
	}
	domain, ok := d.local(r.Context(), name)
	if !ok {
		http.NotFound(w, r)
		return
	}
	policy := d.o.Policy(domain)
	if policy == "" {
		http.NotFound(w, r)
		return
	}
	answer(w, "text/plain; charset=us-ascii", policy) // RFC 8461 §3.2
}

// answer sends a text that what is in between may keep for a while.
func answer(w http.ResponseWriter, mediaType, text string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", maxAge)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(text))
}
