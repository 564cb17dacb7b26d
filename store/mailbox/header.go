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
}

// ReadHeaders reads the headers of messages: all octets before the body, with
// the empty line, or the first most of them; nil for emails that there are
// not. It takes two round trips for all. Where headers are very long it gives
// those of the first ids only, of one at least.
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
			h, err := startHeader(r, ids[i], got[i], most)
			if err != nil {
				return err
			}
			list = append(list, h)
			size += h.end + int64(len(h.record.prefix))
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
	headers := make([][]byte, len(list))
	for i := range list {
		h := &list[i]
		if h.got != nil && h.record.where == bodyBlob {
			if err := a.readBlobHeader(ctx, ids[i], h); err != nil {
				return nil, err
			}
		}
		headers[i] = h.got
	}
	return headers, nil
}

// startHeader finds out how long a header is, and makes room for it.
func startHeader(r kv.Reader, id mail.EmailID, b []byte, most int) (headerRead, error) {
	if b == nil {
		return headerRead{}, nil
	}
	record, err := decodeRecord(id, b)
	if err != nil {
		return headerRead{}, err
	}
	whole, err := record.complete(r, id)
	if err != nil {
		return headerRead{}, err
	}
	end, err := message.HeaderSize(whole)
	if err != nil {
		return headerRead{}, fmt.Errorf("message %v: %w", id, err)
	}
	prefix := record.prefix[:min(len(record.prefix), most)]
	end = min(end, int64(record.body), int64(most-len(prefix)))
	h := headerRead{record: record, end: end}
	h.got = append(make([]byte, 0, int64(len(prefix))+end), prefix...)
	h.record.prefix, h.record.message = nil, nil // the engine's memory
	return h, nil
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
		for left := h.end; left > 0; got = got[1:] {
			if len(got[0]) < 2 || got[0][0] != bodyFormat {
				return 0, fmt.Errorf("body of %v: %w", ids[i], errCorrupt)
			}
			k := min(left, int64(len(got[0])-1))
			h.got = append(h.got, got[0][1:1+k]...)
			left -= k
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
