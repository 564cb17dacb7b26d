package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// enough is how many octets of records, or of headers, are read at a time:
// messages of strangers may have megabytes of either.
const enough = 2 << 20

// Facts gives what is known of emails, nil for those that there are not, in
// one round trip. What it gives is the caller's. Where emails have very much
// to tell, or one cannot be read, it gives those of the first ids only; of one
// at least, unless it is the first that cannot be read.
func (a *Account) Facts(ctx context.Context, ids []mail.EmailID) ([]*Facts, error) {
	var facts []*Facts
	if len(ids) == 0 {
		return facts, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany(recordKeys(ids))
		if err != nil {
			return err
		}
		facts = make([]*Facts, 0, len(ids))
		for i, size := 0, 0; i < len(got) && size < enough; i++ {
			if got[i] == nil {
				facts = append(facts, nil)
				continue
			}
			f, n, err := readFacts(r, ids[i], got[i])
			if err != nil && i == 0 {
				return err
			}
			if err != nil {
				break
			}
			facts = append(facts, f)
			size += n
		}
		return nil
	})
	return facts, err
}

// readFacts reads one record, and tells how long it was.
func readFacts(r kv.Reader, id mail.EmailID, b []byte) (*Facts, int, error) {
	record, err := decodeRecord(id, b)
	if err != nil {
		return nil, 0, err
	}
	whole, err := record.complete(r, id)
	if err != nil {
		return nil, 0, err
	}
	f, err := record.facts(id, whole, nil)
	return &f, len(whole), err
}

func recordKeys(ids []mail.EmailID) [][]byte {
	want := make([][]byte, len(ids))
	buf := make([]byte, 0, 9*len(ids))
	for i, id := range ids {
		buf = appendRecordKey(buf, id)
		want[i] = buf[len(buf)-9 : len(buf) : len(buf)]
	}
	return want
}

// Places tells for each email in which mailboxes it lies, under which UIDs.
// Those of deleted mailboxes are left out.
func (a *Account) Places(ctx context.Context, ids []mail.EmailID) ([]map[mail.MailboxID][]mail.UID, error) {
	all := make([]map[mail.MailboxID][]mail.UID, len(ids))
	want := make([][]byte, 0, 2*len(ids))
	for _, id := range ids {
		want = append(want, appendPlacesKey(nil, id), appendRecordKey(nil, id))
	}
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		got, err := r.GetMany(want)
		if err != nil {
			return err
		}
		boxes, err := readBoxes(r)
		if err != nil {
			return err
		}
		live := make(map[mail.MailboxID]bool, len(boxes))
		for _, m := range boxes {
			live[m.ID] = true
		}
		for i, id := range ids {
			if got[2*i+1] == nil {
				continue
			}
			record, err := decodeRecord(id, got[2*i+1])
			if err != nil {
				return err
			}
			p, err := decodePlaces(got[2*i], record.home)
			if err != nil {
				return err
			}
			all[i] = make(map[mail.MailboxID][]mail.UID, len(p.at))
			for _, at := range p.at {
				if live[at.Mailbox] {
					all[i][at.Mailbox] = append(all[i][at.Mailbox], at.UID)
				}
			}
		}
		return nil
	})
	return all, err
}

// A Body is an open message: prefix and body as one. ReadAt is safe for
// concurrent use.
type Body interface {
	io.ReaderAt
	Size() mail.ByteCount
	Close() error
}

// OpenMessage opens a message for reading, or returns ErrNoMessage. Of one that
// is damaged on the disk IsDamaged says so.
func (a *Account) OpenMessage(ctx context.Context, id mail.EmailID) (Body, error) {
	var whole inlineBody
	var record record
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) (err error) {
		if record, err = readRecord(r, id); err != nil || record.where == bodyBlob {
			record.prefix = append([]byte(nil), record.prefix...)
			return err
		}
		whole, err = readInline(r, id, &record)
		return err
	})
	if err != nil {
		return nil, err
	}
	if record.where == bodyInline {
		return whole, nil
	}
	b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: record.sum})
	if errors.Is(err, blob.ErrNotFound) {
		// It may have been purged between the two.
		if f, e := a.Facts(ctx, []mail.EmailID{id}); e == nil && f[0] == nil {
			return nil, ErrNoMessage
		}
	}
	if err == nil {
		if err = blob.Prove(b); err != nil {
			err = errors.Join(err, b.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("body of %v: %w", id, err)
	}
	return &blobBody{record.prefix, b}, nil
}

func readRecord(r kv.Reader, id mail.EmailID) (record, error) {
	got, err := r.GetMany([][]byte{appendRecordKey(nil, id)})
	if err != nil {
		return record{}, err
	}
	if got[0] == nil {
		return record{}, ErrNoMessage
	}
	return decodeRecord(id, got[0])
}

// readInline reads a message whose body is in the engine.
func readInline(r kv.Reader, id mail.EmailID, record *record) ([]byte, error) {
	got, err := r.GetMany(appendChunkKeys(nil, record))
	if err != nil {
		return nil, err
	}
	return assemble(id, record, got)
}

// appendChunkKeys adds the keys of an inline body.
func appendChunkKeys(dst [][]byte, record *record) [][]byte {
	for i := range chunks(record.body) {
		dst = append(dst, appendBodyKey(nil, &record.sum, i))
	}
	return dst
}

// assemble makes a message of its prefix and the values of its body.
func assemble(id mail.EmailID, record *record, values [][]byte) ([]byte, error) {
	whole := make([]byte, 0, record.size())
	whole = append(whole, record.prefix...)
	for _, b := range values {
		if len(b) == 0 || b[0] != bodyFormat {
			return nil, fmt.Errorf("body of %v: %w", id, errCorrupt)
		}
		whole = append(whole, b[1:]...)
	}
	if mail.ByteCount(len(whole)) != record.size() {
		return nil, fmt.Errorf("body of %v: %w", id, errCorrupt)
	}
	return whole, nil
}

// An inlineBody is a message in memory.
type inlineBody []byte

func (b inlineBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b inlineBody) Size() mail.ByteCount { return mail.ByteCount(len(b)) }
func (b inlineBody) Close() error         { return nil }

// Bytes gives the whole message, which must not be changed: callers that want
// no copy ask for it.
func (b inlineBody) Bytes() []byte { return b }

// A blobBody is a prefix in memory before a blob.
type blobBody struct {
	prefix []byte
	blob   blob.Blob
}

func (b *blobBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	if off < int64(len(b.prefix)) {
		n = copy(p, b.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := b.blob.ReadAt(p[n:], off+int64(n)-int64(len(b.prefix)))
	return n + m, err
}

func (b *blobBody) Size() mail.ByteCount { return mail.ByteCount(len(b.prefix)) + b.blob.Size() }
func (b *blobBody) Close() error         { return b.blob.Close() }
