package s3blob

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

// DefaultMaxSize is the limit of a blob when Options name none.
const DefaultMaxSize = 1 << 30

// layout is what FORMAT says.
const layout = "waxwing s3blob 1\n"

// Options tell where the bucket is, and how to work with it.
type Options struct {
	Endpoint string // host, or host:port
	Plain    bool   // HTTP in place of HTTPS
	Region   string // "" to ask the server
	Bucket   string
	Prefix   string // of all names; with its "/"

	// VirtualHost puts the bucket's name before that of the host, PathStyle
	// into the path. Neither leaves it to what is known of the host: the former
	// at Amazon's, the latter elsewhere.
	VirtualHost, PathStyle bool

	// Roots are whom to trust for TLS; nil for those of the system.
	Roots *x509.CertPool

	// Credentials is a file in the form of ~/.aws/credentials, of which Profile
	// is used, or "default". Without it they come from the environment
	// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), from ~/.aws/credentials, or
	// from the machine's role.
	Credentials, Profile string

	// Spool is the directory for what is on its way in. It is made if it is not
	// there; nothing stays in it.
	Spool string

	// Compress packs what is worth it.
	Compress bool

	// MaxSize is the limit of one blob; 0 for DefaultMaxSize.
	MaxSize mail.ByteCount

	// Fresh is how old an object may be to be relied on when its blob is kept
	// again; 0 for six hours. All who share a bucket have the same.
	Fresh time.Duration

	// PartSize is from what size on objects are uploaded in parts of this size;
	// 0 for 64 MiB, at least 5 MiB.
	PartSize mail.ByteCount

	// Retries is how often a request is tried; 0 for 6. The pauses between grow
	// to a second.
	Retries int
}

// A Store is a blob.Store in a bucket.
type Store struct {
	o      Options
	client *minio.Core
	codec  *packed.Codec
	id     string
	closed atomic.Bool
	idle   func() // closes idle connections

	// One stripe makes Keep, Delete and Reap of one key follow each other, in
	// this process.
	stripes [64]sync.Mutex
	seed    maphash.Seed
}

var _ blob.Store = (*Store)(nil)

// Open opens the store. It fails if the bucket cannot be listed, read and
// written to.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Fresh <= 0 {
		o.Fresh = 6 * time.Hour
	}
	if o.PartSize <= 0 {
		o.PartSize = 64 << 20
	}
	if o.Retries <= 0 {
		o.Retries = 6
	}
	s := &Store{o: o, seed: maphash.MakeSeed()}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open blobs in S3: %w", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.codec, err = packed.NewCodec(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.o.Spool, 0o700); err != nil {
		return err
	}
	secret := s.credentials()
	if _, err := secret.GetWithContext(nil); err != nil {
		return fmt.Errorf("no credentials: %w", err)
	}
	transport := newTransport(s.o.Roots)
	s.idle = transport.CloseIdleConnections
	lookup := minio.BucketLookupAuto
	switch {
	case s.o.VirtualHost:
		lookup = minio.BucketLookupDNS
	case s.o.PathStyle:
		lookup = minio.BucketLookupPath
	}
	s.client, err = minio.NewCore(s.o.Endpoint, &minio.Options{
		Creds: secret, Secure: !s.o.Plain, Transport: transport, Region: s.o.Region, BucketLookup: lookup, MaxRetries: s.o.Retries,
	})
	if err != nil {
		return err
	}
	return s.checkFormat(ctx)
}

func (s *Store) credentials() *credentials.Credentials {
	if s.o.Credentials != "" {
		return credentials.NewFileAWSCredentials(s.o.Credentials, s.o.Profile)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{Profile: s.o.Profile},
		&credentials.IAM{},
	})
}

// checkFormat reads FORMAT, and writes it in a new store. Before that it lists,
// since the answer to that tells best what is wrong.
func (s *Store) checkFormat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name := s.o.Prefix + "FORMAT"
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: name, MaxKeys: 1}) {
		if o.Err != nil {
			return s.explain(o.Err)
		}
		break
	}
	got, err := s.readFormat(ctx, name)
	if isNotFound(err) {
		// Of several who find it missing one makes it, and all read that.
		text := layout + strings.ToLower(rand.Text()) + "\n"
		o := s.put(int64(len(text)))
		o.SetMatchETagExcept("*")
		_, err = s.client.Client.PutObject(ctx, s.o.Bucket, name, strings.NewReader(text), int64(len(text)), o)
		if err == nil || hasChanged(err) {
			got, err = s.readFormat(ctx, name)
		}
	}
	if err != nil {
		return s.explain(err)
	}
	id, ok := strings.CutPrefix(got, layout)
	if s.id = strings.TrimSpace(id); !ok || s.id == "" {
		format, _, _ := strings.Cut(got, "\n")
		return fmt.Errorf("bucket %s has the layout %q; this program knows %q", s.o.Bucket, format, strings.TrimSpace(layout))
	}
	return nil
}

func (s *Store) readFormat(ctx context.Context, name string) (string, error) {
	body, _, _, err := s.client.GetObject(ctx, s.o.Bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer body.Close()
	got, err := io.ReadAll(io.LimitReader(body, 1024))
	return string(got), err
}

// ID tells the store apart from all others. It stays with what the bucket
// holds.
func (s *Store) ID() string { return s.id }

// put is how objects of a size are put. One that goes in one piece has an MD5
// that the server checks; parts are protected by their signatures, or by TLS,
// and are not gathered in memory.
func (s *Store) put(size int64) minio.PutObjectOptions {
	part := int64(s.o.PartSize)
	return minio.PutObjectOptions{SendContentMd5: size <= part, PartSize: uint64(part), NumThreads: 2}
}

func (s *Store) ownerPrefix(owner mail.AccountID) string {
	return fmt.Sprintf("%s%02x/%s/", s.o.Prefix, byte(owner), owner)
}

// name is that of the first object of a key. Those of further ones follow it
// with a dot.
func (s *Store) name(key blob.Key) string { return s.ownerPrefix(key.Owner) + key.Sum.String() }

func (s *Store) stripe(key blob.Key) *sync.Mutex {
	return &s.stripes[maphash.Comparable(s.seed, key)%uint64(len(s.stripes))]
}

// ready says why a call cannot begin.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return blob.ErrClosed
	}
	return ctx.Err()
}

// Close implements blob.Store.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return blob.ErrClosed
	}
	s.idle()
	return nil
}

// explain says in an operator's words what went wrong.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if text := s.reason(minio.ToErrorResponse(err)); text != "" {
		return fmt.Errorf("%s: %w", text, err)
	}
	return fmt.Errorf("bucket %s at %s: %w", s.o.Bucket, s.o.Endpoint, err)
}
