package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// A headerRead is a header that is being read.
type headerRead struct {
	record record
	end    int64  // of the header, in the body
	got    []byte // nil where there is no such email
	err    error  // why it cannot be read
}

// ReadHeaders reads the headers of messages: all octets before the body, with
// the empty line, or the first most of them; nil for emails that there are
// not. It takes two round trips for all. Where headers are very long, or one
// cannot be read, it gives those of the first ids only; of one at least, unless
// it is the first that cannot be read.
func (a *Account) ReadHeaders(ctx context.Context, ids []mail.EmailID, most int) ([][]byte, error) {
	var list []headerRead
	if len(ids) == 0 {
		return nil, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany(recordKeys(ids))
		if err != nil {
			return err
		}
		list = make([]headerRead, 0, len(ids))
		for i, size := 0, int64(0); i < len(got) && size < enough; i++ {
			h := startHeader(r, ids[i], got[i], most)
			list = append(list, h)
			size += int64(cap(h.got))
		}
		for i := 0; i < len(list); {
			n, err := readChunks(r, ids[i:], list[i:])
			if err != nil {
				return err
			}
			i += n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	headers := make([][]byte, 0, len(list))
	for i := range list {
		h := &list[i]
		if h.err == nil && h.got != nil && h.record.where == bodyBlob {
			h.err = a.readBlobHeader(ctx, ids[i], h)
		}
		if h.err != nil && i == 0 {
			return nil, h.err
		}
		if h.err != nil {
			break
		}
		headers = append(headers, h.got)
	}
	return headers, nil
}

// startHeader finds out how long a header is, and makes room for it.
func startHeader(r kv.Reader, id mail.EmailID, b []byte, most int) (h headerRead) {
	if b == nil {
		return h
	}
	if h.record, h.err = decodeRecord(id, b); h.err != nil {
		return h
	}
	whole, err := h.record.complete(r, id)
	if err == nil {
		h.end, err = message.HeaderSize(whole)
	}
	if err != nil {
		h.err = fmt.Errorf("message %v: %w", id, err)
		return h
	}
	prefix := h.record.prefix[:min(len(h.record.prefix), most)]
	h.end = min(h.end, int64(h.record.body), int64(most-len(prefix)))
	h.got = append(make([]byte, 0, int64(len(prefix))+h.end), prefix...)
	h.record.prefix, h.record.message = nil, nil // the engine's memory
	return h
}

// readChunks reads the headers of as many messages as it is sensible to have
// the first chunks of in memory, and tells how many.
func readChunks(r kv.Reader, ids []mail.EmailID, list []headerRead) (int, error) {
	var want [][]byte
	n, size := 0, int64(0)
	for ; n < len(list) && size < enough; n++ {
		h := &list[n]
		if h.got == nil || h.record.where != bodyInline {
			continue
		}
		for i := int64(0); i*chunkSize < h.end; i++ {
			want = append(want, appendBodyKey(nil, &h.record.sum, int(i)))
			size += min(chunkSize, int64(h.record.body)-i*chunkSize)
		}
	}
	if len(want) == 0 {
		return n, nil
	}
	got, err := r.GetMany(want)
	if err != nil {
		return 0, err
	}
	for i := range list[:n] {
		h := &list[i]
		if h.got == nil || h.record.where != bodyInline {
			continue
		}
		for left := h.end; left > 0; left -= chunkSize {
			b, k := got[0], min(left, chunkSize)
			got = got[1:]
			if int64(len(b)) < 1+k || b[0] != bodyFormat {
				h.err = fmt.Errorf("body of %v: %w", ids[i], errCorrupt)
				continue
			}
			h.got = append(h.got, b[1:1+k]...)
		}
	}
	return n, nil
}

// readBlobHeader reads the header of a large message.
func (a *Account) readBlobHeader(ctx context.Context, id mail.EmailID, h *headerRead) error {
	if h.end == 0 {
		return nil
	}
	b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: h.record.sum})
	if errors.Is(err, blob.ErrNotFound) {
		// It may have been purged between the two.
		if f, e := a.Facts(ctx, []mail.EmailID{id}); e == nil && f[0] == nil {
			h.got = nil
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("body of %v: %w", id, err)
	}
	n := len(h.got)
	h.got = h.got[:n+int(h.end)]
	if _, err = io.ReadFull(io.NewSectionReader(b, 0, h.end), h.got[n:]); err != nil {
		err = fmt.Errorf("body of %v: %w", id, err)
	}
	return errors.Join(err, b.Close())
}
