package s3blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

// A reader is one open blob.
type reader struct {
	*packed.Reader
	source *source
	key    blob.Key
	off    int64
	hash   hash.Hash // of what Read has given
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key blob.Key) (blob.Blob, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	// Reading goes on after the call that has opened it; Close ends it.
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	src := &source{store: s, key: key, ctx: reading, cancel: cancel}
	stop := context.AfterFunc(ctx, cancel)
	r, err := src.open()
	if !stop() && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		src.close()
		return nil, fmt.Errorf("open blob %s of %s: %w", key.Sum, key.Owner, err)
	}
	return &reader{Reader: r, source: src, key: key, hash: sha256.New()}, nil
}

// ReadAt names the blob in errors.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("blob %s of %s: %w", r.key.Sum, r.key.Owner, err)
	}
	return n, err
}

// Read checks the sum at the end.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.ReadAt(p, r.off)
	r.off += int64(n)
	r.hash.Write(p[:n])
	if err == io.EOF && n > 0 {
		return n, nil
	}
	if err == io.EOF && blob.Sum(r.hash.Sum(nil)) != r.key.Sum {
		err = fmt.Errorf("blob %s of %s: %w: it is another body", r.key.Sum, r.key.Owner, blob.ErrCorrupt)
	}
	return n, err
}

func (r *reader) Close() error { return r.source.close() }

// tail is how much of an object is fetched when it is opened: all of one that
// is small, and the table of any.
const tail = 128 << 10

// attempts is how often a part is fetched before reading fails. Each attempt
// goes on where the one before broke off.
const attempts = 4

// A source reads the octets of an object as they are stored. Whoever reads on
// where the last read ended is given a stream; other reads fetch what they
// want.
type source struct {
	store  *Store
	key    blob.Key
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows
	name   string
	etag   string
	size   int64
	end    []byte        // the last octets
	next   int64         // where the last read ended; 0 before the first
	stream io.ReadCloser // from next on; nil for none
}

// open finds the object and reads its end.
func (src *source) open() (*packed.Reader, error) {
	s := src.store
	src.name = s.name(src.key)
	err := src.readEnd()
	if isNotFound(err) {
		if err = src.find(); err == nil {
			err = src.readEnd()
		}
	}
	if isNotFound(err) {
		return nil, blob.ErrNotFound
	}
	if err != nil {
		return nil, s.explain(err)
	}
	return packed.Open(s.codec, src, src.size)
}

// find looks for the object under its other names.
func (src *source) find() error {
	there, err := src.store.objects(src.ctx, src.key)
	if err != nil {
		return err
	}
	src.name = ""
	for _, o := range there {
		if src.size == 0 || o.size == src.size {
			src.name, src.etag = o.name, ""
		}
	}
	if src.name == "" {
		return blob.ErrNotFound
	}
	return nil
}

func (src *source) readEnd() error {
	for try := 1; ; try++ {
		err := src.tryEnd()
		if err == nil || !src.again(try, err) {
			return err
		}
	}
}

func (src *source) tryEnd() error {
	body, about, err := src.get(0, -tail)
	if minio.ToErrorResponse(err).Code == minio.InvalidRange {
		// Some servers refuse to give the last octets of what has fewer.
		body, about, err = src.get(0, 0)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if src.end, err = io.ReadAll(io.LimitReader(body, tail)); err != nil {
		return err
	}
	src.size, src.etag = about.total, about.etag
	if n := int64(len(src.end)); n != min(src.size, tail) {
		return fmt.Errorf("%w: %d octets of the end", io.ErrUnexpectedEOF, n)
	}
	return nil
}

// again waits before another attempt; it says no when that is of no use.
func (src *source) again(try int, err error) bool {
	if _, said := errors.AsType[minio.ErrorResponse](err); said || try == attempts || src.ctx.Err() != nil || errors.Is(err, blob.ErrNotFound) {
		return false // the client has tried often enough
	}
	select {
	case <-src.ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond << (2 * try)):
		return true
	}
}

// about is what an answer tells of the object.
type about struct {
	total int64
	etag  string
}

// get asks for the octets of the object from first to last, or for so many at
// its end if last is negative; all if both are zero.
func (src *source) get(first, last int64) (io.ReadCloser, about, error) {
	var o minio.GetObjectOptions
	if first != 0 || last != 0 {
		if err := o.SetRange(first, last); err != nil {
			return nil, about{}, err
		}
	}
	if src.etag != "" {
		if err := o.SetMatchETag(src.etag); err != nil {
			return nil, about{}, err
		}
	}
	body, object, header, err := src.store.client.GetObject(src.ctx, src.store.o.Bucket, src.name, o)
	if err != nil {
		return nil, about{}, err
	}
	a := about{object.Size, object.ETag}
	if _, total, ok := strings.Cut(header.Get("Content-Range"), "/"); ok {
		if a.total, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, about{}, errors.Join(fmt.Errorf("Content-Range: %w", err), body.Close())
		}
	} else if first != 0 || last > 0 {
		return nil, about{}, errors.Join(errors.New("the server does not know ranges"), body.Close())
	}
	return body, a, nil
}

// ReadAt reads octets as they are stored.
func (src *source) ReadAt(p []byte, off int64) (int, error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	if rest := off - (src.size - int64(len(src.end))); rest >= 0 {
		n := copy(p, src.end[min(rest, int64(len(src.end))):])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	if src.stream != nil && off != src.next {
		src.drop()
	}
	n := 0
	for try := 1; ; try++ {
		k, err := src.fetch(p[n:], off+int64(n))
		n += k
		if err == nil {
			src.next = off + int64(n)
			return n, nil
		}
		src.drop()
		if isNotFound(err) || hasChanged(err) {
			// It may have been replaced by the same under another name.
			if src.find() == nil && try < attempts {
				continue
			}
			return n, fmt.Errorf("it has been deleted: %w", blob.ErrNotFound)
		}
		if !src.again(try, err) {
			return n, src.store.explain(err)
		}
	}
}

// fetch reads all of p, or gives an error.
func (src *source) fetch(p []byte, off int64) (int, error) {
	if src.stream != nil {
		return io.ReadFull(src.stream, p)
	}
	to := off + int64(len(p))
	onward := src.next > 0 && off == src.next
	if onward {
		to = src.size
	}
	body, _, err := src.get(off, to-1)
	if err != nil {
		return 0, err
	}
	if onward {
		src.stream = body
		return io.ReadFull(body, p)
	}
	defer body.Close()
	return io.ReadFull(body, p)
}

func (src *source) drop() {
	if src.stream != nil {
		_ = src.stream.Close() // whatever it says: nothing more is wanted of it
		src.stream = nil
	}
}

func (src *source) close() error {
	src.cancel() // first: another read may be waiting with the mutex held
	src.mu.Lock()
	defer src.mu.Unlock()
	src.drop()
	return nil
}
