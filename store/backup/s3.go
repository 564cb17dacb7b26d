package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options say where a bucket is.
type S3Options struct {
	Endpoint  string // URL of the server; "" for Amazon's
	Region    string
	Bucket    string
	Prefix    string // within the bucket; "" for all of it
	Transport http.RoundTripper

	// Credentials; nil for those of the environment (AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY) or of ~/.aws/credentials.
	Credentials *credentials.Credentials
}

// An s3 is a repository in a bucket. An object is there as a whole or not at
// all, and the server answers after it is durable.
type s3 struct {
	client *minio.Client
	bucket string
	prefix string // "" or with a slash at its end
}

// S3 gives the Place in a bucket.
func S3(o S3Options) (Place, error) {
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%q is not the URL of an S3 server, such as https://s3.example.org", o.Endpoint)
	}
	if o.Credentials == nil {
		o.Credentials = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: o.Credentials, Secure: u.Scheme == "https", Region: o.Region, Transport: o.Transport})
	if err != nil {
		return nil, fmt.Errorf("S3 server %s: %w", endpoint, err)
	}
	p := &s3{client: client, bucket: o.Bucket, prefix: strings.Trim(o.Prefix, "/")}
	if p.prefix != "" {
		p.prefix += "/"
	}
	return p, nil
}

func (s *s3) String() string { return "s3://" + s.bucket + "/" + s.prefix }

// Put implements Place.
func (s *s3) Put(ctx context.Context, name string, parts ...[]byte) error {
	content := parts[0]
	if len(parts) > 1 { // what is tried again is read from its beginning
		content = bytes.Join(parts, nil)
	}
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(content), int64(len(content)),
		minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true})
	return err
}

func isGone(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == "NotFound"
}

// Open implements Place.
func (s *s3) Open(ctx context.Context, name string) (File, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if isGone(err) {
		return nil, fmt.Errorf("%s: %w", name, ErrNoFile)
	}
	if err != nil {
		return nil, err
	}
	return &s3File{ctx: ctx, s: s, name: name, size: info.Size}, nil
}

// List implements Place.
func (s *s3) List(ctx context.Context, folder string) iter.Seq2[Stat, error] {
	return func(yield func(Stat, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + folder, Recursive: true}) {
			if !yield(Stat{strings.TrimPrefix(o.Key, s.prefix), o.Size, o.LastModified}, o.Err) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Stat{}, err)
		}
	}
}

// Delete implements Place.
func (s *s3) Delete(ctx context.Context, name string) error {
	err := s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if isGone(err) {
		return nil
	}
	return err
}

// An s3File reads an object in blocks, since each request costs a journey.
type s3File struct {
	ctx  context.Context
	s    *s3
	name string
	size int64

	mu     sync.Mutex // guards what follows
	blocks []s3Block  // the latest last
}

type s3Block struct {
	at    int64
	bytes []byte
}

const (
	s3BlockSize = 2 << 20
	s3Blocks    = 3
)

func (f *s3File) Size() int64  { return f.size }
func (f *s3File) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (f *s3File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	for n < len(p) && off+int64(n) < f.size {
		at := (off + int64(n)) / s3BlockSize * s3BlockSize
		b, err := f.block(at)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[off+int64(n)-at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *s3File) block(at int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.blocks {
		if b.at == at {
			return b.bytes, nil
		}
	}
	length := min(s3BlockSize, f.size-at)
	var o minio.GetObjectOptions
	if err := o.SetRange(at, at+length-1); err != nil {
		return nil, err
	}
	object, err := f.s.client.GetObject(f.ctx, f.s.bucket, f.s.prefix+f.name, o)
	if err != nil {
		return nil, err
	}
	b := make([]byte, length)
	_, err = io.ReadFull(object, b)
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	if len(f.blocks) == s3Blocks {
		f.blocks = f.blocks[1:]
	}
	f.blocks = append(f.blocks, s3Block{at, b})
	return b, nil
}
