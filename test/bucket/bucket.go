// Package bucket gives tests a blob store in a bucket: that of an S3 server in
// this process, which speaks HTTP over the loopback.
package bucket

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"waxwing/store/blob/s3blob"
)

// New gives an empty store, which is closed at the end of the test, after what
// the test has registered since.
func New(tb testing.TB) *s3blob.Store {
	tb.Helper()
	const name = "mail"
	backend := s3mem.New()
	if err := backend.CreateBucket(name); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	tb.Cleanup(server.Close)
	dir := tb.TempDir()
	secret := filepath.Join(dir, "credentials")
	if err := os.WriteFile(secret, []byte("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	s, err := s3blob.Open(context.Background(), s3blob.Options{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Plain: true, Region: "us-east-1", Bucket: name,
		Credentials: secret, Spool: filepath.Join(dir, "spool"), Compress: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close bucket: %v", err)
		}
	})
	return s
}
