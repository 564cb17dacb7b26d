package s3blob_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/blobtest"
	"waxwing/store/blob/s3blob"
)

// A server is an S3 server in this process, which can be made to fail.
type server struct {
	*httptest.Server
	inner   http.Handler
	backend *s3mem.Backend

	mu    sync.Mutex // guards what follows
	seen  []string   // "GET name" and so on
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T) *server { return start(t, (*httptest.Server).Start) }

func start(t *testing.T, how func(*httptest.Server)) *server {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("mail"); err != nil {
		t.Fatal(err)
	}
	s := &server{inner: gofakes3.New(backend).Server(), backend: backend}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	how(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	what := r.Method + " " + strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/mail"), "/")
	if r.URL.Query().Has("list-type") {
		what = "LIST"
	} else if r.Header.Get("X-Amz-Copy-Source") != "" {
		what = "COPY"
	}
	s.seen = append(s.seen, what)
	fault := s.fault
	s.mu.Unlock()
	if fault == nil || !fault(w, r) {
		s.inner.ServeHTTP(w, r)
	}
}

func (s *server) fail(fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// requests gives what was asked since the last call, counted by the kind.
func (s *server) requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, what := range s.seen {
		kind, _, _ := strings.Cut(what, " ")
		n[kind]++
	}
	s.seen = nil
	return n
}

func (s *server) options(t *testing.T) s3blob.Options {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(secret, []byte("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s3blob.Options{
		Endpoint: strings.TrimPrefix(s.URL, "http://"), Plain: true, Region: "us-east-1", Bucket: "mail", Prefix: "wax/",
		Credentials: secret, Spool: filepath.Join(t.TempDir(), "spool"), Compress: true, MaxSize: blobtest.Limit, Retries: 3,
	}
}

func open(t *testing.T, o s3blob.Options) *s3blob.Store {
	t.Helper()
	s, err := s3blob.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, blob.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func TestLaws(t *testing.T) {
	for _, compress := range []bool{true, false} {
		t.Run(fmt.Sprint("compress ", compress), func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Store {
				o := serve(t).options(t)
				o.Compress = compress
				o.Fresh = time.Nanosecond // so that all that is kept again gets a new name
				return open(t, o)
			})
		})
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(2, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func spooled(t *testing.T, s *s3blob.Store, body []byte) blob.Spool {
	t.Helper()
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	_, err = sp.Write(body)
	_, _, err2 := sp.Sum()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return sp
}

func keep(t *testing.T, s *s3blob.Store, owner mail.AccountID, body []byte) blob.Key {
	t.Helper()
	key, err := spooled(t, s, body).Keep(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func read(t *testing.T, s *s3blob.Store, key blob.Key) ([]byte, error) {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// A body crosses the wire once: a second owner gets a copy that the server
// makes, and what is there already stays.
func TestUploadedOnce(t *testing.T) {
	srv := serve(t)
	s := open(t, srv.options(t))
	body := noise(300_000)
	sp := spooled(t, s, body)
	srv.requests()
	for owner, want := range map[mail.AccountID]map[string]int{1: {"LIST": 1, "PUT": 1}} {
		if _, err := sp.Keep(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		if got := srv.requests(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the first owner: %v", got)
		}
	}
	if _, err := sp.Keep(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := srv.requests(); got["PUT"] != 0 || got["COPY"] != 1 {
		t.Errorf("the second owner: %v", got)
	}
	key := keep(t, s, 2, body)
	if got := srv.requests(); fmt.Sprint(got) != fmt.Sprint(map[string]int{"LIST": 1}) {
		t.Errorf("kept again: %v", got)
	}
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, body) {
		t.Error(err)
	}
}

// Whoever relied on an object, and whoever reaps one that was listed before,
// are different objects' business.
func TestKeptAgain(t *testing.T) {
	srv := serve(t)
	o := srv.options(t)
	o.Fresh = time.Nanosecond
	s, other := open(t, o), open(t, o)
	body := noise(200_000)
	key := keep(t, s, 7, body)
	reader, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var stats []blob.Stat
	for stat, err := range s.List(t.Context(), 7) {
		if err != nil {
			t.Fatal(err)
		}
		stats = append(stats, stat)
	}
	srv.requests()
	keep(t, other, 7, body)
	if got := srv.requests(); got["PUT"] != 0 || got["COPY"] != 1 || got["DELETE"] != 1 {
		t.Errorf("kept again: %v", got)
	}
	for _, stat := range stats {
		if gone, err := s.Reap(t.Context(), stat); gone || err != nil {
			t.Errorf("reaped: %v, %v", gone, err)
		}
	}
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read of what got another name meanwhile: %v", err)
	}
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, body) {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, s, key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	// A reader of what is deleted is told so.
	key = keep(t, s, 7, body)
	if reader, err = s.Open(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(reader); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("read of what was deleted: %v", err)
	}
}

// Large objects go in parts; reading all of one is a stream, reading a part
// fetches little more.
func TestLarge(t *testing.T) {
	srv := start(t, (*httptest.Server).StartTLS)
	o := srv.options(t)
	o.Plain, o.Endpoint = false, strings.TrimPrefix(srv.URL, "https://")
	if _, err := s3blob.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("opened at a server that nobody vouches for: %v", err)
	}
	o.Roots = x509.NewCertPool()
	o.Roots.AddCert(srv.Certificate())
	o.MaxSize, o.PartSize = 0, 5<<20
	s := open(t, o)
	body := noise(12 << 20)
	srv.requests()
	key := keep(t, s, 1, body)
	if got := srv.requests(); got["PUT"] != 3 || got["POST"] != 2 {
		t.Errorf("an upload in parts: %v", got)
	}
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, body) {
		t.Fatal(err)
	}
	if got := srv.requests(); got["GET"] > 4 {
		t.Errorf("reading all: %v", got)
	}
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var octets atomic.Int64
	srv.fail(func(w http.ResponseWriter, r *http.Request) bool {
		srv.inner.ServeHTTP(counting{w, &octets}, r)
		return true
	})
	p := make([]byte, 1000)
	for _, off := range []int64{5_000_000, 100, 9_000_000, int64(len(body)) - 1000} {
		if n, err := b.ReadAt(p, off); n != len(p) || err != nil || !bytes.Equal(p, body[off:][:n]) {
			t.Errorf("part: %d, %v", n, err)
		}
	}
	if n := octets.Load(); n > 4*(256<<10)+4096 {
		t.Errorf("for four parts of 1,000 octets %d were fetched", n)
	}
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// What shrinks is stored small; the file in between leaves nothing.
func TestCompressed(t *testing.T) {
	srv := serve(t)
	o := srv.options(t)
	s := open(t, o)
	body := bytes.Repeat([]byte("A line that comes again and again.\r\n"), 20_000)
	keep(t, s, 1, body)
	for stat, err := range s.List(t.Context(), 1) {
		if err != nil || stat.Size > 50_000 {
			t.Errorf("%d octets take %d, %v", len(body), stat.Size, err)
		}
	}
	if left, err := os.ReadDir(o.Spool); err != nil || len(left) != 0 {
		t.Errorf("in the spool: %v, %v", left, err)
	}
}

// Other octets than were written are noticed, and named.
func TestDamage(t *testing.T) {
	srv := serve(t)
	s := open(t, srv.options(t))
	body := noise(600_000)
	key := keep(t, s, 1, body)
	name := "wax/01/a0000000000000001/" + key.Sum.String()
	object, err := srv.backend.GetObject("mail", name, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := io.ReadAll(object.Contents)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		if _, err := srv.backend.PutObject("mail", name, map[string]string{}, bytes.NewReader(b), int64(len(b)), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []int{0, 300_000, len(stored) - 40, len(stored) - 1} {
		damaged := bytes.Clone(stored)
		damaged[at]++
		put(damaged)
		if _, err := read(t, s, key); !errors.Is(err, blob.ErrCorrupt) || !strings.Contains(err.Error(), key.Sum.String()) {
			t.Errorf("damage at %d: %v", at, err)
		}
	}
	put(stored[:len(stored)-5])
	if _, err := read(t, s, key); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("cut: %v", err)
	}
	// Keeping it again repairs what has another size.
	keep(t, s, 1, body)
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, body) {
		t.Error(err)
	}
}

func refuse(status int, code string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
		return true
	}
}

// A server that is busy, or breaks off, is tried again.
func TestTriedAgain(t *testing.T) {
	t.Parallel() // it waits between attempts
	srv := serve(t)
	s := open(t, srv.options(t))
	body := noise(3_000_000)
	var n atomic.Int32
	srv.fail(func(w http.ResponseWriter, r *http.Request) bool {
		return n.Add(1)%3 == 1 && refuse(http.StatusServiceUnavailable, "SlowDown")(w, r)
	})
	key := keep(t, s, 1, body)
	// Every answer with much in it breaks off.
	srv.fail(func(w http.ResponseWriter, r *http.Request) bool {
		srv.inner.ServeHTTP(&breaking{w, 900_000}, r)
		return true
	})
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read of what breaks off: %v", err)
	}
	// An upload that breaks off once.
	n.Store(0)
	srv.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && n.Add(1) == 1 {
			io.CopyN(io.Discard, r.Body, 100_000)
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if got, err := read(t, s, keep(t, s, 2, noise(500_000))); err != nil || len(got) != 500_000 {
		t.Errorf("read: %d, %v", len(got), err)
	}
}

// breaking ends the connection after so many octets.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

// When it does not get better the error says so, and a later Keep of the same
// spool works.
func TestGone(t *testing.T) {
	t.Parallel()
	srv := serve(t)
	s := open(t, srv.options(t))
	sp := spooled(t, s, noise(200_000))
	for code, want := range map[string]string{
		"SlowDown": "too busy", "AccessDenied": "is denied", "RequestTimeTooSkewed": "clocks", "NoSuchBucket": "no bucket",
		"InvalidAccessKeyId": "does not accept the credentials",
	} {
		status := http.StatusForbidden
		if code == "SlowDown" {
			status = http.StatusServiceUnavailable
		}
		srv.fail(refuse(status, code))
		if _, err := sp.Keep(t.Context(), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
	srv.fail(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			io.CopyN(io.Discard, r.Body, 1000)
		}
		panic(http.ErrAbortHandler)
	})
	if key, err := sp.Keep(t.Context(), 1); err == nil {
		t.Errorf("kept %v by a server that is gone", key)
	}
	srv.fail(nil)
	key, err := sp.Keep(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, s, key); err != nil || len(got) != 200_000 {
		t.Error(err)
	}
}

// What is wrong at the start is said in an operator's words, without secrets.
func TestStart(t *testing.T) {
	t.Parallel()
	srv := serve(t)
	for _, tt := range []struct {
		change func(*s3blob.Options)
		fault  func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		{change: func(o *s3blob.Options) { o.Bucket = "other" }, want: `no bucket "other"`},
		{change: func(o *s3blob.Options) { o.Credentials = "/does/not/exist" }, want: "no credentials"},
		{change: func(o *s3blob.Options) { o.Profile = "other" }, want: "no credentials"},
		{change: func(o *s3blob.Options) { o.Endpoint = "127.0.0.1:1" }, want: "connection refused"},
		{fault: refuse(http.StatusForbidden, "SignatureDoesNotMatch"), want: "does not accept the credentials"},
		{fault: refuse(http.StatusForbidden, "RequestTimeTooSkewed"), want: "clocks"},
	} {
		o := srv.options(t)
		if tt.change != nil {
			tt.change(&o)
		}
		srv.fail(tt.fault)
		s, err := s3blob.Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v; it should say %q", err, tt.want)
		}
	}
	srv.fail(nil)
	o := srv.options(t)
	open(t, o)
	if _, err := srv.backend.PutObject("mail", "wax/FORMAT", map[string]string{}, strings.NewReader("waxwing s3blob 2\n"), 17, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s3blob.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "s3blob 2") {
		t.Errorf("a later layout: %v", err)
	}
}
