package mailbox

import (
	"encoding/binary"
	"fmt"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
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
type record struct {
	thread   mail.ThreadID
	received int64
	home     place // where it was appended
	where    byte
	sum      blob.Sum
	body     mail.ByteCount
	prefix   []byte
	message  []byte // message.Message.AppendBinary
}

func (r *record) size() mail.ByteCount { return mail.ByteCount(len(r.prefix)) + r.body }

func appendRecordKey(dst []byte, id mail.EmailID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keys.Message), uint64(id))
}

// appendFixed writes all but the message.
func (r *record) appendFixed(dst []byte) []byte {
	dst = append(dst, recordFormat, r.where)
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
	if d.byte() != recordFormat {
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

func (r *record) facts(id mail.EmailID) (*Facts, error) {
	m, err := message.Decode(r.message)
	if err != nil {
		return nil, fmt.Errorf("message %v: %w", id, err)
	}
	m.Prepend(r.prefix)
	return &Facts{id, r.thread, r.size(), time.Unix(r.received, 0).UTC(), m}, nil
}
