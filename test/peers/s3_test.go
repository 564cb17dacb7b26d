//go:build peers

package peers

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/blobtest"
	"waxwing/store/blob/s3blob"
	"waxwing/test/system"
)

func s3Options(t *testing.T, server *system.S3) s3blob.Options {
	return s3blob.Options{
		Endpoint: server.Address(), Plain: true, Bucket: "mail", Prefix: strings.ToLower(strings.ReplaceAll(t.Name(), " ", "-")) + "/",
		Credentials: server.Credentials(), Spool: filepath.Join(t.TempDir(), "spool"), Compress: true,
		MaxSize: blobtest.Limit, Retries: 3,
	}
}

// The blob store in S3 keeps the laws with a server that nobody here wrote.
func TestS3(t *testing.T) {
	server := system.StartS3(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		o := s3Options(t, server)
		o.Fresh = time.Nanosecond
		s, err := s3blob.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
	t.Run("parts", func(t *testing.T) {
		o := s3Options(t, server)
		o.MaxSize, o.PartSize, o.Compress = 0, 5<<20, false
		s, err := s3blob.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		body := bytes.Repeat([]byte("A body that is larger than a part. "), 400_000)
		sp, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer sp.Close()
		_, err = sp.Write(body)
		_, _, err2 := sp.Sum()
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := sp.Keep(t.Context(), 1); err == nil {
			t.Error("kept while the server was away")
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		for _, owner := range []mail.AccountID{1, 2} { // the second by a copy
			key, err := sp.Keep(t.Context(), owner)
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.Open(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, body) {
				t.Errorf("read: %d octets, %v", len(got), err)
			}
			b.Close()
		}
	})
	t.Run("refused", func(t *testing.T) {
		o := s3Options(t, server)
		o.Bucket = "nothing"
		if _, err := s3blob.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), `no bucket "nothing"`) {
			t.Errorf("%v", err)
		}
		o = s3Options(t, server)
		o.Credentials = filepath.Join(t.TempDir(), "credentials")
		for _, pair := range []string{"aws_access_key_id = stranger\naws_secret_access_key = who", "aws_access_key_id = tester\naws_secret_access_key = no"} {
			if err := os.WriteFile(o.Credentials, []byte("[default]\n"+pair+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s3blob.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not accept the credentials") {
				t.Errorf("%v", err)
			}
		}
	})
}
