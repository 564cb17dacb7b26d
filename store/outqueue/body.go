package outqueue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// A Body is the message of an item: prefix and body as one. ReadAt and Reader
// are safe for concurrent use.
type Body struct {
	inline []byte
	blob   blob.Blob // what follows inline; nil for nothing
	sum    blob.Sum
}

// OpenBody opens the message of an item. It fails with ErrNotFound when the
// item has gone. The caller closes the body.
func (q *Queue) OpenBody(ctx context.Context, it *Item) (*Body, error) {
	b := &Body{inline: it.body}
	var err error
	if b.inline == nil {
		err = q.readBody(ctx, it, b)
	}
	if err == nil && mail.ByteCount(len(b.inline)) != it.inline {
		err = fmt.Errorf("%d octets instead of %d", len(b.inline), it.inline)
	}
	if err == nil && it.blob != nil {
		b.sum = *it.blob
		b.blob, err = q.blobs.Open(ctx, blob.Key{Owner: owner(it.ID.shard()), Sum: b.sum})
	}
	if err != nil {
		return nil, fmt.Errorf("open body of %s: %w", it.ID, err)
	}
	return b, nil
}

// readBody reads what lies in the engine.
func (q *Queue) readBody(ctx context.Context, it *Item, b *Body) error {
	var chunks [][]byte
	for i := range (int(it.inline) + partSize - 1) / partSize {
		chunks = append(chunks, bodyKey(it.ID, i))
	}
	return q.db.View(ctx, partition(it.ID.shard()), func(r kv.Reader) error {
		rows, err := r.GetMany(chunks)
		if err != nil {
			return err
		}
		b.inline = make([]byte, 0, it.inline)
		for _, row := range rows {
			if row == nil {
				return ErrNotFound
			}
			b.inline = append(b.inline, row...)
		}
		return nil
	})
}

// Size gives the octets of the message.
func (b *Body) Size() mail.ByteCount {
	size := mail.ByteCount(len(b.inline))
	if b.blob != nil {
		size += b.blob.Size()
	}
	return size
}

// ReadAt reads any part. It does not check a large body's sum; Reader does.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	n := 0
	if off < int64(len(b.inline)) {
		n = copy(p, b.inline[off:])
	}
	if n == len(p) {
		return n, nil
	}
	if b.blob == nil {
		return n, io.EOF
	}
	m, err := b.blob.ReadAt(p[n:], off+int64(n)-int64(len(b.inline)))
	return n + m, err
}

// Reader reads the message from its start. Each has its own place. At the end
// it gives blob.ErrCorrupt if a large body is not what was enqueued.
func (b *Body) Reader() io.Reader {
	inline := bytes.NewReader(b.inline)
	if b.blob == nil {
		return inline
	}
	rest := io.NewSectionReader(b.blob, 0, int64(b.blob.Size()))
	return io.MultiReader(inline, &checked{r: rest, hash: sha256.New(), sum: b.sum})
}

// Close closes the body.
func (b *Body) Close() error {
	if b.blob == nil {
		return nil
	}
	return b.blob.Close()
}

// A checked reader gives blob.ErrCorrupt in place of io.EOF if it has read
// other bytes than the sum says.
type checked struct {
	r    io.Reader
	hash hash.Hash
	sum  blob.Sum
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	if err == io.EOF && blob.Sum(c.hash.Sum(nil)) != c.sum {
		err = fmt.Errorf("body of the queue: %w", blob.ErrCorrupt)
	}
	return n, err
}
