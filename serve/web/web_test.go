package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func TestPages(t *testing.T) {
	var trouble error
	h, err := New(Options{
		Hostname: "mx.<b>.test",
		Settings: []Setting{{"IMAP (reading)", 993, "TLS"}},
		Healthy:  func(context.Context) error { return trouble },
	})
	if err != nil {
		t.Fatal(err)
	}
	page := get(h, "https://mx.example.test/")
	if page.Code != 200 || !strings.Contains(page.Body.String(), "<td>993</td>") || !strings.Contains(page.Body.String(), "mx.&lt;b&gt;.test") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	for header, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=",
	} {
		if got := page.Header().Get(header); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", header, got)
		}
	}
	if plain := get(h, "http://mx.example.test/"); plain.Header().Get("Strict-Transport-Security") != "" { // RFC 6797 §7.2
		t.Error("HSTS without TLS")
	}
	if w := get(h, "https://mx.example.test/nothing"); w.Code != 404 {
		t.Error(w.Code)
	}
	if w := get(h, "https://mx.example.test/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Error(w.Code, w.Body)
	}

	trial, err := New(Options{Hostname: "mail.example.test", Server: "127.0.0.1", Settings: []Setting{{"IMAP (reading)", 10993, "TLS"}}})
	if err != nil {
		t.Fatal(err)
	}
	page = get(trial, "https://localhost:10443/")
	if !strings.Contains(page.Body.String(), "<strong>127.0.0.1</strong>") || page.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("a trial: %v %s", page.Header(), page.Body)
	}

	trouble = errors.New("disk /secret/path failed")
	if w := get(h, "https://mx.example.test/healthz"); w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Code, w.Body)
	}
}

func TestRedirect(t *testing.T) {
	for _, tt := range []struct{ port, target, want string }{
		{"443", "http://mx.example.test/a?b=c", "https://mx.example.test/a?b=c"},
		{"443", "http://mx.example.test:80/", "https://mx.example.test/"},
		{"10443", "http://mx.example.test:10080/a", "https://mx.example.test:10443/a"},
		{"10443", "http://[::1]:10080/a", "https://[::1]:10443/a"},
		{"443", "http://[::1]/a", "https://[::1]/a"},
	} {
		if got := get(Redirect("mx.example.test", tt.port), tt.target).Header().Get("Location"); got != tt.want {
			t.Errorf("%s by %s: %q, want %q", tt.target, tt.port, got, tt.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://x/a", nil)
	for _, host := range []string{"", "evil.test/x", "user@evil.test", `evil.test\x`} {
		r.Host = host
		w := httptest.NewRecorder()
		Redirect("mx.example.test", "443").ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != "https://mx.example.test/a" {
			t.Errorf("host %q: %q", host, got)
		}
	}
}
