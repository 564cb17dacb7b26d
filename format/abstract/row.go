package abstract

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"waxwing/format/casemap"
	"waxwing/format/message"
)

// A Row is the abstract of one message, as it is stored. Strings that it gives
// share its memory.
//
//	version, flags, sent i64 (seconds), day u32, where 9 x u16,
//	strings, {hash u64}...
//
// The strings are those of the fields in the order of Field, each ending
// where says; the hashes are those of the message's own id, zero if it has
// none, and of the ids that it refers to, oldest first.
type Row []byte

const (
	rowFormat = 1
	rowHead   = 14
	rowFixed  = rowHead + 2*fields
)

// A Field is a string of a Row.
type Field uint8

// The fields: those that are searched, then those that are sorted by, as far
// as they differ.
const (
	Subject Field = iota
	From
	To
	Cc
	Bcc
	MessageID
	base
	senders // sort keys of From, To and Cc and display names of From and To, with NULs between
	reserve

	fields = 9
)

const (
	flagDate  = 1 << iota // sent and day are there
	flagReply             // the subject says so
	flagBase              // base is the whole subject
	flagCut               // << Field of those cut, up to Bcc
)

// maxField bounds what a Row keeps of a field. Who looks for something behind
// it reads the header.
const maxField = 4 << 10

var errRow = errors.New("abstract cannot be read")

// Make gives the abstract of a message.
func Make(m *message.Message) Row {
	var b builder
	e := &m.Envelope
	if t, ok := message.ParseDate(e.Date); ok {
		b.flags |= flagDate
		b.sent = t.Unix()
		year, month, day := t.Date()
		b.day = packDay(year, month, day)
	}
	subject := message.DecodeHeader(e.Subject)
	b.field(Subject, subject)
	b.list(From, e.From)
	b.list(To, e.To)
	b.list(Cc, e.Cc)
	b.list(Bcc, e.Bcc)
	b.field(MessageID, message.DecodeHeader(e.MessageID))
	text, reply := message.SplitSubject(subject)
	if reply {
		b.flags |= flagReply
	}
	if text == subject {
		b.flags |= flagBase
		text = ""
	}
	b.field(base, text)
	for _, list := range [...][]message.Address{e.From, e.To, e.Cc} {
		b.strings = append(casemap.Fold(b.strings, clip(mailboxOf(list))), 0)
	}
	for _, list := range [...][]message.Address{e.From, e.To} {
		b.strings = append(casemap.Fold(b.strings, clip(displayOf(list))), 0)
	}
	b.where[senders], b.where[reserve] = len(b.strings), len(b.strings)
	return b.row(m)
}

type builder struct {
	flags   byte
	cut     byte
	sent    int64
	day     uint32
	where   [fields]int
	strings []byte
}

func (b *builder) row(m *message.Message) Row {
	own := uint64(0)
	if ids := message.ParseMessageIDs(m.Envelope.MessageID); len(ids) > 0 {
		own = HashID(ids[0])
	}
	r := make([]byte, 0, rowFixed+1+len(b.strings)+8+8*len(m.References))
	r = append(r, rowFormat, b.flags|b.cut)
	r = binary.LittleEndian.AppendUint64(r, uint64(b.sent))
	r = binary.LittleEndian.AppendUint32(r, b.day)
	for _, n := range b.where {
		r = binary.LittleEndian.AppendUint16(r, uint16(n))
	}
	r = append(r, b.strings...)
	r = binary.LittleEndian.AppendUint64(r, own)
	for _, id := range references(m) {
		r = binary.LittleEndian.AppendUint64(r, HashID(id))
	}
	return r
}

// references gives the ids that a message refers to. Without References it is
// the first one of In-Reply-To alone. RFC 5256 §3, REFERENCES
func references(m *message.Message) []string {
	if len(m.References) > 1 && slices.Equal(m.References, message.ParseMessageIDs(m.Envelope.InReplyTo)) {
		return m.References[:1]
	}
	return m.References
}

// field adds a folded text.
func (b *builder) field(f Field, text string) {
	from := len(b.strings)
	b.strings = casemap.Fold(b.strings, []byte(text))
	if len(b.strings)-from > maxField {
		b.strings = b.strings[:from+maxField]
		if f <= Bcc {
			b.cut |= flagCut << f
		}
	}
	b.where[f] = len(b.strings)
}

func (b *builder) list(f Field, list []message.Address) {
	// A field of ten thousand names need not be put together to be cut.
	const most = 400
	short := list[:min(len(list), most)]
	b.field(f, message.DecodeHeader(AddressText(short)))
	if len(short) < len(list) {
		b.cut |= flagCut << f
	}
}

// AddressText gives an address list as it is searched.
func AddressText(list []message.Address) string {
	var b strings.Builder
	for i := range list {
		a := &list[i]
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.Name)
		if a.Local != "" || a.Domain != "" {
			b.WriteString(" <" + a.Local + "@" + a.Domain + ">")
		}
	}
	return b.String()
}

// maxKey bounds what is sorted by.
const maxKey = 256

func clip(s string) []byte {
	b := []byte(s[:min(len(s), maxKey)])
	for i, c := range b {
		if c == 0 {
			b[i] = ' '
		}
	}
	return b
}

// mailboxOf gives what FROM, TO and CC sort by: addr-mailbox of the first
// address, which for a group is its name. RFC 5256 §3, RFC 9051 §7.5.2
func mailboxOf(list []message.Address) string {
	if len(list) == 0 {
		return ""
	}
	if list[0].Group {
		return message.DecodeHeader(list[0].Name)
	}
	return list[0].Local
}

// displayOf gives what DISPLAYFROM and DISPLAYTO sort by: the name of the first
// address, or else the address. RFC 5957 §2
func displayOf(list []message.Address) string {
	if len(list) == 0 {
		return ""
	}
	a := &list[0]
	if name := strings.TrimSpace(message.DecodeHeader(a.Name)); name != "" {
		return name
	}
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// HashID gives the hash of a message id, never zero.
func HashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}

func packDay(year int, month time.Month, day int) uint32 {
	return uint32(max(year, 0))<<9 | uint32(month)<<5 | uint32(day)
}

// Check tells whether a Row that was stored can be used.
func (r Row) Check() error {
	if len(r) < rowFixed+8 || r[0] != rowFormat {
		return errRow
	}
	at := 0
	for f := range Field(fields) {
		end := r.end(f)
		if end < at || rowFixed+end > len(r)-8 {
			return errRow
		}
		at = end
	}
	if (len(r)-rowFixed-at)%8 != 0 {
		return errRow
	}
	return nil
}

func (r Row) end(f Field) int { return int(binary.LittleEndian.Uint16(r[rowHead+2*int(f):])) }

func (r Row) string(f Field) []byte {
	from := 0
	if f > 0 {
		from = r.end(f - 1)
	}
	return r[rowFixed+from : rowFixed+r.end(f)]
}

// Sent gives the Date as an instant in Unix seconds; false if there is none
// that makes sense.
func (r Row) Sent() (int64, bool) {
	return int64(binary.LittleEndian.Uint64(r[2:])), r[1]&flagDate != 0
}

// Day gives the day of Date, as it was where the message was written.
func (r Row) Day() (year int, month time.Month, day int, ok bool) {
	d := binary.LittleEndian.Uint32(r[10:])
	return int(d >> 9), time.Month(d >> 5 & 15), int(d & 31), r[1]&flagDate != 0
}

// Text gives one of the fields up to MessageID, folded; whole is false where
// it has been cut.
func (r Row) Text(f Field) (text []byte, whole bool) {
	text = r.string(f)
	if f > Bcc {
		return text, len(text) < maxField
	}
	return text, r[1]&(flagCut<<f) == 0
}

// Base gives the base subject, folded. RFC 5256 §2.1
func (r Row) Base() []byte {
	if r[1]&flagBase != 0 {
		return r.string(Subject)
	}
	return r.string(base)
}

// Reply tells whether the subject is that of a reply or of something that is
// forwarded.
func (r Row) Reply() bool { return r[1]&flagReply != 0 }

// A Key is one of the strings that a Row is sorted by besides its subject.
type Key uint8

// The keys. RFC 5256 §3, RFC 5957 §2
const (
	KeyFrom Key = iota
	KeyTo
	KeyCc
	DisplayFrom
	DisplayTo
)

// Key gives a string to be sorted by.
func (r Row) Key(k Key) []byte {
	rest := r.string(senders)
	for ; k > 0; k-- {
		_, rest, _ = bytes.Cut(rest, []byte{0})
	}
	key, _, _ := bytes.Cut(rest, []byte{0})
	return key
}

// ID gives the hash of the message's own id, zero if it has none.
func (r Row) ID() uint64 { return binary.LittleEndian.Uint64(r[rowFixed+r.end(reserve):]) }

// References gives how many messages it refers to, and Reference the hash of
// the i-th one's id, the oldest first.
func (r Row) References() int { return (len(r)-rowFixed-r.end(reserve))/8 - 1 }

// Reference is one of References.
func (r Row) Reference(i int) uint64 {
	return binary.LittleEndian.Uint64(r[rowFixed+r.end(reserve)+8+8*i:])
}
