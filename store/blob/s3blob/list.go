package s3blob

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"waxwing/mail"
	"waxwing/store/blob"
)

// patience is for one request that moves little.
const patience = time.Minute

// An object is one that holds a blob.
type object struct {
	name string
	size int64 // as stored
	made time.Time
}

// objects gives those of one key.
func (s *Store) objects(ctx context.Context, key blob.Key) ([]object, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found []object
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: s.name(key), Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		if sum, _, ok := parse(o.Key[len(s.ownerPrefix(key.Owner)):]); ok && sum == key.Sum {
			found = append(found, object{o.Key, o.Size, o.LastModified})
		}
	}
	return found, nil
}

// parse reads the last part of an object's name.
func parse(name string) (sum blob.Sum, which string, ok bool) {
	name, which, _ = strings.Cut(name, ".")
	sum, err := blob.ParseSum(name)
	return sum, which, err == nil
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, owner mail.AccountID) iter.Seq2[blob.Stat, error] {
	return func(yield func(blob.Stat, error) bool) {
		if err := s.ready(ctx); err != nil {
			yield(blob.Stat{}, fmt.Errorf("list blobs: %w", err))
			return
		}
		prefix := s.ownerPrefix(owner)
		for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if o.Err != nil {
				yield(blob.Stat{}, fmt.Errorf("list blobs of %s: %w", owner, s.explain(o.Err)))
				return
			}
			sum, which, ok := parse(o.Key[len(prefix):])
			if !ok {
				continue // not ours
			}
			stat := blob.Stat{
				Key:      blob.Key{Owner: owner, Sum: sum},
				Size:     mail.ByteCount(o.Size),
				Modified: o.LastModified.Add(s.o.Fresh),
				Copy:     which,
			}
			if !yield(stat, nil) {
				return
			}
		}
	}
}

// Delete implements blob.Store. What has been read of open blobs stays; the
// rest is gone.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	there, err := s.objects(ctx, key)
	if err != nil {
		return fmt.Errorf("delete blob: %w", s.explain(err))
	}
	for _, o := range there {
		if err := s.remove(ctx, o.name); err != nil {
			return fmt.Errorf("delete blob: %w", err)
		}
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.explain(s.client.RemoveObject(ctx, s.o.Bucket, name, minio.RemoveObjectOptions{}))
}

// Reap implements blob.Store.
func (s *Store) Reap(ctx context.Context, stat blob.Stat) (bool, error) {
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	mu := s.stripe(stat.Key)
	mu.Lock()
	defer mu.Unlock()
	name := s.name(stat.Key)
	if stat.Copy != "" {
		name += "." + stat.Copy
	}
	// Names with a Copy are never used twice. For those without, another
	// process would have to reap the object and a third to upload it again
	// between this look and the removal.
	there, err := s.objects(ctx, stat.Key)
	if err != nil {
		return false, fmt.Errorf("reap blob: %w", s.explain(err))
	}
	for _, o := range there {
		if o.name == name && o.made.Add(s.o.Fresh).Equal(stat.Modified) {
			if err := s.remove(ctx, name); err != nil {
				return false, fmt.Errorf("reap blob: %w", err)
			}
			return true, nil
		}
	}
	return false, nil
}
