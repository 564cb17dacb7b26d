package mailbox

import (
	"encoding/binary"
	"fmt"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Where the octets of a body are.
const (
	bodyInline = 1 // in the engine
	bodyBlob   = 2 // in the blob store
)

// A record holds what never changes about an email. It is cold: listing and
// searching by flag do not read it.
//
//	version, where, sum 32, thread u64, received i64 (seconds),
//	home: uvarint mailbox, uvarint uid, uvarint size of the body,
//	uvarint and prefix, message
//
// The message is the body's alone; its offsets do not count the prefix.
//
// Thousands of parts or recipients make a message longer than a value may be.
// Then version is recordParts, uvarint and the message's length stand before
// it, and what is too much follows in rows of its own:
//
//	email u64, part u8 -> version, octets
type record struct {
	thread   mail.ThreadID
	received int64
	home     place // where it was appended
	where    byte
	sum      blob.Sum
	body     mail.ByteCount
	prefix   []byte
	message  []byte // message.Message.AppendBinary
	rest     int    // octets of message that are still to be read: see complete
}

// maxRecord bounds the message of a record. What message.Message.AppendBinary
// gives stays under 2 MiB.
const maxRecord = 3 << 20

func (r *record) size() mail.ByteCount { return mail.ByteCount(len(r.prefix)) + r.body }

func appendRecordKey(dst []byte, id mail.EmailID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keys.Message), uint64(id))
}

func appendRestKey(dst []byte, id mail.EmailID, part int) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, keys.Rest), uint64(id)), byte(part))
}

// put writes a record, in as many values as it needs.
func (t *txn) putRecord(id mail.EmailID, r *record) {
	var key [10]byte
	format, first := byte(recordFormat), r.message
	if len(r.message)+len(r.prefix) > chunkSize {
		format, first = recordParts, r.message[:chunkSize-len(r.prefix)]
	}
	t.scratch = r.appendFixed(append(t.scratch[:0], format))
	if format == recordParts {
		t.scratch = binary.AppendUvarint(t.scratch, uint64(len(r.message)))
	}
	t.scratch = append(t.scratch, first...)
	t.Put(appendRecordKey(key[:0], id), t.scratch)
	for i, rest := 0, r.message[len(first):]; len(rest) > 0; i++ {
		n := min(len(rest), chunkSize)
		t.scratch = append(append(t.scratch[:0], rowFormat), rest[:n]...)
		t.Put(appendRestKey(key[:0], id, i), t.scratch)
		rest = rest[n:]
	}
}

// deleteRecord is the opposite.
func (t *txn) deleteRecord(id mail.EmailID, r *record) {
	t.Delete(appendRecordKey(nil, id))
	for i := range restParts(r.rest) {
		t.Delete(appendRestKey(nil, id, i))
	}
}

func restParts(n int) int { return (n + chunkSize - 1) / chunkSize }

// complete gives the whole message of a record; r.rest stays as it is.
func (r *record) complete(kr kv.Reader, id mail.EmailID) ([]byte, error) {
	if r.rest == 0 {
		return r.message, nil
	}
	want := make([][]byte, restParts(r.rest))
	for i := range want {
		want[i] = appendRestKey(nil, id, i)
	}
	got, err := kr.GetMany(want)
	if err != nil {
		return nil, err
	}
	whole := append(make([]byte, 0, len(r.message)+r.rest), r.message...)
	for _, b := range got {
		if len(b) < 1 || b[0] != rowFormat {
			return nil, fmt.Errorf("message %v: %w", id, errCorrupt)
		}
		whole = append(whole, b[1:]...)
	}
	if len(whole) != len(r.message)+r.rest {
		return nil, fmt.Errorf("message %v: %w", id, errCorrupt)
	}
	return whole, nil
}

// appendFixed writes what stands between the version and the message.
func (r *record) appendFixed(dst []byte) []byte {
	dst = append(dst, r.where)
	dst = append(dst, r.sum[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.thread))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.received))
	dst = binary.AppendUvarint(dst, uint64(r.home.Mailbox))
	dst = binary.AppendUvarint(dst, uint64(r.home.UID))
	dst = binary.AppendUvarint(dst, uint64(r.body))
	dst = binary.AppendUvarint(dst, uint64(len(r.prefix)))
	return append(dst, r.prefix...)
}

// decodeRecord reads a record, which shares memory with b.
func decodeRecord(id mail.EmailID, b []byte) (record, error) {
	var r record
	d := decoder{b: b}
	format := d.byte()
	if format != recordFormat && format != recordParts {
		return r, fmt.Errorf("message %v: %w", id, errCorrupt)
	}
	r.where = d.byte()
	copy(r.sum[:], d.bytes(uint64(len(r.sum))))
	if p := d.bytes(16); p != nil {
		r.thread = mail.ThreadID(binary.LittleEndian.Uint64(p))
		r.received = int64(binary.LittleEndian.Uint64(p[8:]))
	}
	r.home = place{mail.MailboxID(d.uvarint()), mail.UID(d.uvarint())}
	r.body = mail.ByteCount(d.uvarint())
	r.prefix = d.bytes(d.uvarint())
	if format == recordParts {
		n := d.uvarint()
		if n <= uint64(len(d.b)) || n > maxRecord {
			d.bad = true
		}
		r.rest = int(n) - len(d.b)
	}
	r.message = d.b
	if d.bad || r.where != bodyInline && r.where != bodyBlob {
		return r, fmt.Errorf("message %v: %w", id, errCorrupt)
	}
	return r, nil
}

// Facts is what is known of an email without reading it.
type Facts struct {
	Email    mail.EmailID
	Thread   mail.ThreadID
	Size     mail.ByteCount
	Received time.Time
	Message  *message.Message
}

// facts decodes a record; whole is its message, from complete. A Decoder, if
// there is one, gives the memory.
func (r *record) facts(id mail.EmailID, whole []byte, into *message.Decoder) (Facts, error) {
	decode := message.Decode
	if into != nil {
		decode = into.Decode
	}
	m, err := decode(whole)
	if err != nil {
		return Facts{}, fmt.Errorf("message %v: %w", id, err)
	}
	m.Prepend(r.prefix)
	return Facts{id, r.thread, r.size(), time.Unix(r.received, 0).UTC(), m}, nil
}
