package s3blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

// A spool is a packed body in a file that has no name.
type spool struct {
	store    *Store
	file     *os.File
	body     *packed.Writer
	hash     hash.Hash
	sum      blob.Sum
	stored   int64
	finished bool
	closed   bool
	err      error  // the first failure; all later calls give it
	uploaded string // an object that has the body; "" for none
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Spool, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.o.Spool, "s*")
	if err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil { // so that no crash leaves it
		return nil, errors.Join(fmt.Errorf("create spool: %w", err), f.Close())
	}
	return &spool{store: s, file: f, body: packed.NewWriter(s.codec, f, s.o.Compress), hash: sha256.New()}, nil
}

func (sp *spool) Write(p []byte) (int, error) {
	switch {
	case sp.err != nil:
		return 0, sp.err
	case sp.finished || sp.closed:
		return 0, errors.New("spool has been finished")
	case mail.ByteCount(len(p)) > sp.store.o.MaxSize-sp.body.Size():
		sp.err = blob.ErrTooLarge
		return 0, sp.err
	}
	n, err := sp.body.Write(p)
	sp.hash.Write(p[:n])
	if err != nil {
		sp.err = fmt.Errorf("write spool: %w", err)
	}
	return n, sp.err
}

func (sp *spool) ReadAt(p []byte, off int64) (int, error) { return sp.body.ReadAt(p, off) }

func (sp *spool) Sum() (blob.Sum, mail.ByteCount, error) {
	if sp.err == nil && !sp.finished {
		if sp.stored, sp.err = sp.body.Finish(); sp.err != nil {
			sp.err = fmt.Errorf("write spool: %w", sp.err)
		}
		sp.hash.Sum(sp.sum[:0])
		sp.finished = true
	}
	if sp.err != nil {
		return blob.Sum{}, 0, sp.err
	}
	return sp.sum, sp.body.Size(), nil
}

func (sp *spool) Close() error {
	if sp.closed {
		return nil
	}
	sp.closed = true
	return sp.file.Close()
}

func (sp *spool) Keep(ctx context.Context, owner mail.AccountID) (blob.Key, error) {
	s := sp.store
	if err := s.ready(ctx); err != nil {
		return blob.Key{}, err
	}
	switch {
	case sp.err != nil:
		return blob.Key{}, sp.err
	case !sp.finished || sp.closed:
		return blob.Key{}, errors.New("keep needs a finished spool")
	}
	// So long only at a server that moves, but slowly.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute+time.Duration(sp.stored>>10)*4*time.Millisecond)
	defer cancel()
	key := blob.Key{Owner: owner, Sum: sp.sum}
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	if err := sp.keep(ctx, key); err != nil {
		return blob.Key{}, fmt.Errorf("keep blob %s of %s: %w", key.Sum, owner, s.explain(err))
	}
	return key, nil
}

// keep relies on an object that is there, or makes one.
func (sp *spool) keep(ctx context.Context, key blob.Key) error {
	s := sp.store
	there, err := s.objects(ctx, key)
	if err != nil {
		return err
	}
	name := s.name(key)
	for _, o := range there {
		if o.size != sp.stored {
			continue // packed in another way, or damaged
		}
		if time.Since(o.made) < s.o.Fresh {
			sp.uploaded = o.name
			return nil
		}
		sp.uploaded = o.name
	}
	if len(there) > 0 {
		name += "." + strings.ToLower(rand.Text())
	}
	if err := sp.make(ctx, name); err != nil {
		return err
	}
	sp.uploaded = name
	for _, o := range there {
		// One that stays is found and removed with the blob.
		if s.client.RemoveObject(ctx, s.o.Bucket, o.name, minio.RemoveObjectOptions{}) != nil {
			break
		}
	}
	return nil
}

// largestCopy is what S3 copies in one request.
const largestCopy = 5 << 30

// make makes an object: by a copy where the server has the body already.
func (sp *spool) make(ctx context.Context, name string) error {
	s := sp.store
	if sp.uploaded != "" && sp.stored <= largestCopy {
		_, err := s.client.Client.CopyObject(ctx, minio.CopyDestOptions{Bucket: s.o.Bucket, Object: name},
			minio.CopySrcOptions{Bucket: s.o.Bucket, Object: sp.uploaded})
		if err == nil || ctx.Err() != nil {
			return err
		}
		sp.uploaded = "" // it has been deleted, or this server cannot
	}
	body := io.NewSectionReader(sp.file, 0, sp.stored)
	done, err := s.client.Client.PutObject(ctx, s.o.Bucket, name, body, sp.stored, s.put(sp.stored))
	if err == nil && done.Size != sp.stored {
		err = fmt.Errorf("%d of %d octets were taken", done.Size, sp.stored)
	}
	return err
}
