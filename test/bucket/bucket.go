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

// Name is the bucket's name.
const Name = "mail"

// Serve starts a server with an empty bucket, until the test ends. It gives its
// address, and a file with the credentials, as ~/.aws/credentials.
func Serve(tb testing.TB) (address, credentials string) {
	tb.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(Name); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	tb.Cleanup(server.Close)
	credentials = filepath.Join(tb.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimPrefix(server.URL, "http://"), credentials
}

// New gives an empty store, which is closed at the end of the test, after what
// the test has registered since.
func New(tb testing.TB) *s3blob.Store {
	tb.Helper()
	address, credentials := Serve(tb)
	s, err := s3blob.Open(context.Background(), s3blob.Options{
		Endpoint: address, Plain: true, Region: "us-east-1", Bucket: Name,
		Credentials: credentials, Spool: filepath.Join(tb.TempDir(), "spool"), Compress: true,
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
