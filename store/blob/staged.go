package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"waxwing/mail"
)

// Inline is the size up to which a Staged stays in memory and is for its
// owners to store beside their metadata. Larger ones go to a spool.
const Inline = 96 << 10

// ErrInline says that a body is small: it has no place in a blob store.
var ErrInline = errors.New("body is kept inline")

// A Staged is a body on its way in: received once, whatever the number of
// its owners. Small ones stay in memory, larger ones are spooled as they come.
//
// Write, Finish, Keep and Close are for one goroutine at a time. After Finish,
// ReadAt, Reader, Bytes and Sum are safe for concurrent use.
type Staged struct {
	ctx      context.Context
	store    Store
	memory   *[]byte // from buffers; nil once spooled
	spool    Spool
	size     mail.ByteCount
	sum      Sum
	summed   sync.Once // sets sum, if the body is in memory
	finished bool
	err      error // the first failure of writing; all later calls give it
}

// buffers keeps the memory of closed Stageds for the next ones.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// Stage begins a body. Large ones are spooled in s under ctx.
func Stage(ctx context.Context, s Store) *Staged {
	return &Staged{ctx: ctx, store: s, memory: buffers.Get().(*[]byte)}
}

// StageBytes gives a finished Staged that holds a copy of b.
func StageBytes(ctx context.Context, s Store, b []byte) (*Staged, error) {
	st := Stage(ctx, s)
	_, err := st.Write(b)
	if err = errors.Join(err, st.Finish()); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// Write adds to the body.
func (st *Staged) Write(p []byte) (int, error) {
	if st.finished {
		return 0, errors.New("body has been finished")
	}
	if st.err != nil {
		return 0, st.err
	}
	if st.spool == nil {
		if len(*st.memory)+len(p) <= Inline {
			*st.memory = append(*st.memory, p...)
			st.size += mail.ByteCount(len(p))
			return len(p), nil
		}
		if st.err = st.spill(); st.err != nil {
			return 0, st.err
		}
	}
	n, err := st.spool.Write(p)
	st.size += mail.ByteCount(n)
	st.err = err
	return n, err
}

// spill moves what is in memory to a spool.
func (st *Staged) spill() error {
	spool, err := st.store.Create(st.ctx)
	if err != nil {
		return fmt.Errorf("spool body: %w", err)
	}
	st.spool = spool
	if _, err := spool.Write(*st.memory); err != nil {
		return fmt.Errorf("spool body: %w", err)
	}
	st.recycle()
	return nil
}

func (st *Staged) recycle() {
	if st.memory != nil {
		*st.memory = (*st.memory)[:0]
		buffers.Put(st.memory)
		st.memory = nil
	}
}

// Finish ends writing. Calling it again does nothing.
func (st *Staged) Finish() error {
	if st.finished || st.err != nil {
		return st.err
	}
	if st.spool != nil {
		if st.sum, st.size, st.err = st.spool.Sum(); st.err != nil {
			return st.err
		}
	}
	st.finished = true
	return nil
}

// Size gives the octets written so far.
func (st *Staged) Size() mail.ByteCount { return st.size }

// Sum gives the SHA-256 of the body, after Finish and before Close. That of one in
// memory is made when it is first asked for: what only passes through has no use
// for it.
func (st *Staged) Sum() Sum {
	if st.spool == nil {
		st.summed.Do(func() { st.sum = sha256.Sum256(*st.memory) })
	}
	return st.sum
}

// Bytes gives the whole body when it is inline, else nil. It must not be
// changed, nor used after Close.
func (st *Staged) Bytes() []byte {
	if st.memory == nil {
		return nil
	}
	return *st.memory
}

// IsInline tells whether the body is in memory: Bytes has it, and Keep has no
// use.
func (st *Staged) IsInline() bool { return st.spool == nil }

// ReadAt reads what has been written.
func (st *Staged) ReadAt(p []byte, off int64) (int, error) {
	if st.spool != nil {
		return st.spool.ReadAt(p, off)
	}
	return bytes.NewReader(st.Bytes()).ReadAt(p, off)
}

// Reader gives a reader of the body from its start. Each has its own place.
func (st *Staged) Reader() io.Reader {
	if st.spool != nil {
		return io.NewSectionReader(st.spool, 0, int64(st.size))
	}
	return bytes.NewReader(st.Bytes())
}

// Keep makes a large body durable under the owner, after Finish; see Spool.
// A body that is inline gives ErrInline.
func (st *Staged) Keep(ctx context.Context, owner mail.AccountID) (Key, error) {
	switch {
	case st.err != nil:
		return Key{}, st.err
	case !st.finished:
		return Key{}, errors.New("body has not been finished")
	case st.spool == nil:
		return Key{}, ErrInline
	}
	return st.spool.Keep(ctx, owner)
}

// Close throws away what no Keep has kept. It is always called, once.
func (st *Staged) Close() error {
	st.finished = true
	st.recycle()
	if st.spool != nil {
		return st.spool.Close()
	}
	return nil
}
