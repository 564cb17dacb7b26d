// Package web is the door for browsers: a page that says what runs here and
// how to reach it, and /healthz for whoever watches the server.
package web

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net"
	"net/http"
	"strings"
)

//go:embed landing.html
var files embed.FS

// Options is what the pages tell.
type Options struct {
	Hostname string

	// Server is what a person types into a mail program to find this server;
	// empty for the Hostname. With another name than that this is a trial, and
	// browsers are not told to insist on HTTPS from now on.
	Server string

	// Settings are what a person types into a mail program.
	Settings []Setting

	// Healthy says what is wrong, if anything is.
	Healthy func(context.Context) error
}

// A Setting is how to reach one service.
type Setting struct {
	Service string // "IMAP", "SMTP", ...
	Port    int
	TLS     string // "TLS" or "STARTTLS"
}

// New makes the pages.
func New(o Options) (http.Handler, error) {
	trial := o.Server != "" && o.Server != o.Hostname
	if o.Server == "" {
		o.Server = o.Hostname
	}
	page, err := template.ParseFS(files, "landing.html")
	if err != nil {
		return nil, err
	}
	var landing bytes.Buffer
	if err := page.Execute(&landing, o); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(landing.Bytes())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := o.Healthy(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("unwell\n"))
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return secured(mux, !trial), nil
}

// secured adds the headers that every answer has, and for HTTPS that it is to
// be insisted on.
func secured(next http.Handler, insist bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if insist && r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797 §6.1
		}
		next.ServeHTTP(w, r)
	})
}

// Redirect sends browsers from http to the https service at port. RFC 9110 §15.4.9
func Redirect(hostname string, port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host == "" || strings.ContainsAny(host, "/\\@") {
			host = hostname
		}
		if port != "443" {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}
