package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Bodies are kept once per account under their sum. Small ones lie in the
// engine in chunks; large ones in the blob store. A row of references counts
// the emails that share a body; an inline body without one has a single email.

// chunkSize is what a value holds of a body; a value may have 64 KiB.
const chunkSize = 60 << 10

func appendBodyKey(dst []byte, sum *blob.Sum, chunk int) []byte {
	return append(append(append(dst, keys.Body), sum[:]...), byte(chunk))
}

func appendRefsKey(dst []byte, sum *blob.Sum) []byte {
	return append(append(dst, keys.Refs), sum[:]...)
}

func appendReleaseKey(dst []byte, sum *blob.Sum) []byte {
	return append(append(dst, keys.Release), sum[:]...)
}

func decodeRefs(b []byte) (int64, error) {
	d := decoder{b: b}
	if d.byte() != refsFormat {
		return 0, fmt.Errorf("references: %w", errCorrupt)
	}
	n := int64(d.uvarint())
	if d.bad || n < 1 {
		return 0, fmt.Errorf("references: %w", errCorrupt)
	}
	return n, nil
}

// A release marks a large body that no email has any longer. It is deleted
// in two steps, so that a body that comes again meanwhile is not lost: first
// the mark says deleting, then the blob goes, then the mark.
//
//	version, deleting u8, varint seconds
type release struct {
	deleting bool
	since    int64
}

func (r release) encode() []byte {
	b := []byte{rowFormat, 0}
	if r.deleting {
		b[1] = 1
	}
	return binary.AppendVarint(b, r.since)
}

func decodeRelease(b []byte) (release, error) {
	d := decoder{b: b}
	if d.byte() != rowFormat {
		return release{}, fmt.Errorf("release: %w", errCorrupt)
	}
	r := release{deleting: d.byte() == 1, since: d.varint()}
	if d.bad {
		return r, fmt.Errorf("release: %w", errCorrupt)
	}
	return r, nil
}

// errBodyGoes says that the same large body is being deleted right now, or
// was since it was kept: it must be kept again.
var errBodyGoes = errors.New("body is being deleted")

// putBody stores a body or counts one more email for it. there is the value
// of its bodyKey. Most bodies are new, and cost no read of their references.
func (t *txn) putBody(p *prepared, there []byte) error {
	n := int64(0)
	if p.record.where == bodyBlob || there != nil {
		got, err := t.GetMany([][]byte{p.refsKey})
		if err != nil {
			return err
		}
		switch {
		case got[0] != nil:
			if n, err = decodeRefs(got[0]); err != nil {
				return err
			}
		case p.record.where == bodyInline:
			n = 1
		}
	}
	if p.record.where == bodyBlob {
		if t.head.deletions != p.deletions {
			return errBodyGoes
		}
		if there != nil { // a mark of release
			r, err := decodeRelease(there)
			if err != nil {
				return err
			}
			if r.deleting {
				return errBodyGoes
			}
			t.Delete(p.bodyKey)
		}
	} else if n == 0 {
		t.putChunks(&p.record.sum, p.entry.Body.Bytes())
	}
	if n++; n > 1 || p.record.where == bodyBlob {
		t.scratch = binary.AppendUvarint(append(t.scratch[:0], refsFormat), uint64(n))
		t.Put(p.refsKey, t.scratch)
	}
	return nil
}

// putChunks writes a small body.
func (t *txn) putChunks(sum *blob.Sum, b []byte) {
	key := appendBodyKey(make([]byte, 0, 1+len(sum)+1), sum, 0)
	for i := 0; i == 0 || len(b) > 0; i++ {
		k := min(len(b), chunkSize)
		t.scratch = append(append(t.scratch[:0], bodyFormat), b[:k]...)
		key[len(key)-1] = byte(i)
		t.Put(key, t.scratch)
		b = b[k:]
	}
}

// countBody writes down how many emails have a body still, and removes it
// after the last.
func (t *txn) countBody(r *record, n int64) {
	key := appendRefsKey(nil, &r.sum)
	switch {
	case n > 1 || n == 1 && r.where == bodyBlob:
		t.Put(key, binary.AppendUvarint([]byte{refsFormat}, uint64(n)))
	case n == 1:
		t.Delete(key)
	case r.where == bodyBlob:
		t.Delete(key)
		t.Put(appendReleaseKey(nil, &r.sum), release{since: t.now.Unix()}.encode())
	default:
		for i := range chunks(r.body) {
			t.Delete(appendBodyKey(nil, &r.sum, i))
		}
	}
}

// chunks gives how many values hold an inline body.
func chunks(size mail.ByteCount) int {
	return max(1, int((size+chunkSize-1)/chunkSize))
}

// stuck is after how long another may finish deleting a body.
const stuck = 2 * time.Minute

// deleteReleased deletes up to limit large bodies that nothing refers to.
func (a *Account) deleteReleased(ctx context.Context, now time.Time, limit int) (int, error) {
	var sums []blob.Sum
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		sums = sums[:0]
		for it, err := range r.Scan([]byte{keys.Release}, []byte{keys.Release + 1}, kv.ScanOptions{Limit: limit}) {
			if err != nil {
				return err
			}
			var sum blob.Sum
			if copy(sum[:], it.Key[1:]) != len(sum) {
				return fmt.Errorf("key of a release: %w", errCorrupt)
			}
			sums = append(sums, sum)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, sum := range sums {
		deleted, err := a.deleteBody(ctx, now, sum)
		if err != nil {
			return n, err
		}
		if deleted {
			n++
		}
	}
	return n, nil
}

// deleteBody deletes one large body, unless it is wanted again or somebody
// else is at it.
func (a *Account) deleteBody(ctx context.Context, now time.Time, sum blob.Sum) (bool, error) {
	key, refs := appendReleaseKey(nil, &sum), appendRefsKey(nil, &sum)
	claimed := false
	_, err := a.change(ctx, now, nil, [][]byte{key, refs}, func(t *txn, got [][]byte) error {
		claimed = false
		if got[0] == nil {
			return nil
		}
		t.dirty = true
		if got[1] != nil {
			t.Delete(key)
			return nil
		}
		r, err := decodeRelease(got[0])
		if err != nil {
			return err
		}
		if r.deleting && now.Unix()-r.since < int64(stuck/time.Second) {
			t.dirty = false
			return nil
		}
		t.head.deletions++
		t.Put(key, release{true, now.Unix()}.encode())
		claimed = true
		return nil
	})
	if err != nil || !claimed {
		return false, err
	}
	timely, cancel := context.WithTimeout(ctx, stuck/4)
	defer cancel()
	if err := a.store.blobs.Delete(timely, blob.Key{Owner: a.id, Sum: sum}); err != nil {
		return false, err
	}
	_, err = a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		t.Delete(key)
		t.head.deletions++
		t.dirty = true
		return nil
	})
	return err == nil, err
}
