package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// errCorrupt says that a record is not what we wrote.
var errCorrupt = errors.New("mailbox: record is corrupt")

// IsDamaged tells whether an error is that what is on the disk is not what was
// written there: trying again is of no use, and Check says more.
func IsDamaged(err error) bool {
	return errors.Is(err, errCorrupt) || errors.Is(err, kv.ErrDamaged) || errors.Is(err, blob.ErrCorrupt)
}

// Every value begins with the version of its format. Readers know all older
// ones.
const (
	headFormat   = 5 // 1 has no recoverable, 2 no stamp, 3 nothing after it, 4 no maxNotes
	boxFormat    = 1
	boxSheets    = 2 // of a mailbox that has sheets
	entryFormat  = 1
	recordFormat = 1
	recordParts  = 2 // of a record in several values
	sheetFormat  = 1
	placesFormat = 1
	changeFormat = 1
	changeBefore = 2 // of a change that tells what was before
	bodyFormat   = 1
	refsFormat   = 1
	rowFormat    = 1 // of the small ones: mentions, tokens, names
)

// A head is the account's record: what every transaction reads and writes.
//
//	version, then little-endian 64-bit numbers in the order of the fields
type head struct {
	modseq    mail.ModSeq      // the newest change
	forgotten mail.ModSeq      // the newest change that the log has lost
	names     mail.ModSeq      // the newest change of the set of mailboxes
	email     mail.EmailID     // the last one given
	mailbox   mail.MailboxID   // the last one given
	validity  mail.UIDValidity // the last one given
	quota     mail.ByteCount   // as AccountOptions has it
	bytes     mail.ByteCount   // of all entries that can be seen
	messages  int64            // the same, counted
	goneBytes mail.ByteCount   // of entries expunged or in deleted mailboxes
	boxes     int64            // mailboxes that can be seen
	keywords  int64            // keywords known
	deletions int64            // how often large bodies were deleted
	pending   int64            // copies under way in several transactions

	recoverable mail.ByteCount // as AccountOptions has it

	stamp uint64 // tells this writing of the head apart from all others

	maxMessages int64          // as SetLimits has it, 0 for no limit
	maxBoxes    int64          // the same, 0 for the Store's own
	notes       mail.ByteCount // octets of annotations
	maxNotes    mail.ByteCount // as SetLimits has it, 0 for the house's own
}

const headFields = 20

// headLengths is how many fields each format has.
var headLengths = [1 + headFormat]int{1: 14, 2: 15, 3: 16, 4: 19, 5: headFields}

var headKey = []byte{keys.AccountRecord}

func (h *head) fields() [headFields]uint64 {
	return [...]uint64{
		uint64(h.modseq), uint64(h.forgotten), uint64(h.names), uint64(h.email),
		uint64(h.mailbox), uint64(h.validity), uint64(h.quota), uint64(h.bytes),
		uint64(h.messages), uint64(h.goneBytes), uint64(h.boxes), uint64(h.keywords),
		uint64(h.deletions), uint64(h.pending), uint64(h.recoverable),
		h.stamp, uint64(h.maxMessages), uint64(h.maxBoxes), uint64(h.notes), uint64(h.maxNotes),
	}
}

func (h *head) append(dst []byte) []byte {
	format := headFormat
	if h.maxNotes == 0 { // what all have can be read by those who do not know it
		format--
	}
	dst = append(dst, byte(format))
	fields := h.fields()
	for _, n := range fields[:headLengths[format]] {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

// decodeHead reads a head; nil means that there is no such account.
func decodeHead(b []byte) (head, error) {
	if b == nil {
		return head{}, ErrNoAccount
	}
	if len(b) == 0 || b[0] < 1 || b[0] > headFormat || len(b) != 1+8*headLengths[b[0]] {
		return head{}, fmt.Errorf("account: %w", errCorrupt)
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(b[1+8*i:]) }
	h := head{
		modseq: mail.ModSeq(n(0)), forgotten: mail.ModSeq(n(1)), names: mail.ModSeq(n(2)),
		email: mail.EmailID(n(3)), mailbox: mail.MailboxID(n(4)), validity: mail.UIDValidity(n(5)),
		quota: mail.ByteCount(n(6)), bytes: mail.ByteCount(n(7)), messages: int64(n(8)),
		goneBytes: mail.ByteCount(n(9)), boxes: int64(n(10)), keywords: int64(n(11)),
		deletions: int64(n(12)), pending: int64(n(13)),
	}
	if b[0] > 1 {
		h.recoverable = mail.ByteCount(n(14))
	}
	if b[0] > 2 {
		h.stamp = n(15)
	}
	if b[0] > 3 {
		h.maxMessages, h.maxBoxes, h.notes = int64(n(16)), int64(n(17)), mail.ByteCount(n(18))
	}
	if b[0] > 4 {
		h.maxNotes = mail.ByteCount(n(19))
	}
	return h, nil
}

// A box is a mailbox's record.
//
//	version, flags, uidvalidity u32, uidnext u32, highestmodseq u64,
//	messages u32, unseen u32, deleted u32, size u64, removed i64 (seconds),
//	uvarint and role, name
type box struct {
	Info
	removed int64 // when it was deleted, Unix seconds; 0 while it lives
	thinned bool  // something has left it since it was deleted
	sheets  bool  // it has sheets, or had: a row alone does not say what an entry is
}

const (
	boxSubscribed = 1 << iota
	boxNoSelect
	boxThinned
)

const boxFixed = 2 + 4 + 4 + 8 + 4 + 4 + 4 + 8 + 8

func appendBoxKey(dst []byte, id mail.MailboxID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keys.Mailbox), uint32(id))
}

func boxOfKey(key []byte) mail.MailboxID {
	return mail.MailboxID(binary.BigEndian.Uint32(key[1:]))
}

func (m *box) append(dst []byte) []byte {
	var flags byte
	if m.Subscribed {
		flags |= boxSubscribed
	}
	if m.NoSelect {
		flags |= boxNoSelect
	}
	if m.thinned {
		flags |= boxThinned
	}
	le := binary.LittleEndian
	format := byte(boxFormat)
	if m.sheets { // who does not know them must not read the mailbox
		format = boxSheets
	}
	dst = append(dst, format, flags)
	dst = le.AppendUint32(dst, uint32(m.UIDValidity))
	dst = le.AppendUint32(dst, uint32(m.UIDNext))
	dst = le.AppendUint64(dst, uint64(m.HighestModSeq))
	dst = le.AppendUint32(dst, uint32(m.Messages))
	dst = le.AppendUint32(dst, uint32(m.Unseen))
	dst = le.AppendUint32(dst, uint32(m.Deleted))
	dst = le.AppendUint64(dst, uint64(m.Size))
	dst = le.AppendUint64(dst, uint64(m.removed))
	dst = binary.AppendUvarint(dst, uint64(len(m.Role)))
	dst = append(dst, m.Role...)
	return append(dst, m.Name...)
}

func decodeBox(id mail.MailboxID, b []byte) (box, error) {
	if len(b) < boxFixed || b[0] != boxFormat && b[0] != boxSheets {
		return box{}, fmt.Errorf("mailbox %v: %w", id, errCorrupt)
	}
	le := binary.LittleEndian
	m := box{Info: Info{
		ID:            id,
		Subscribed:    b[1]&boxSubscribed != 0,
		NoSelect:      b[1]&boxNoSelect != 0,
		UIDValidity:   mail.UIDValidity(le.Uint32(b[2:])),
		UIDNext:       mail.UID(le.Uint32(b[6:])),
		HighestModSeq: mail.ModSeq(le.Uint64(b[10:])),
		Messages:      int(le.Uint32(b[18:])),
		Unseen:        int(le.Uint32(b[22:])),
		Deleted:       int(le.Uint32(b[26:])),
		Size:          mail.ByteCount(le.Uint64(b[30:])),
	}, removed: int64(le.Uint64(b[38:])), thinned: b[1]&boxThinned != 0, sheets: b[0] == boxSheets}
	role, n := binary.Uvarint(b[boxFixed:])
	rest := b[boxFixed:]
	if n <= 0 || role > uint64(len(rest)-n) {
		return box{}, fmt.Errorf("mailbox %v: %w", id, errCorrupt)
	}
	rest = rest[n:]
	m.Role, m.Name = internRole(rest[:role]), string(rest[role:])
	if hasControls(rest) { // see CleanName: these are octets of something else
		return box{}, fmt.Errorf("mailbox %v: %w", id, errCorrupt)
	}
	return m, nil
}

func hasControls(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// internRole spares an allocation for each of the common roles.
func internRole(b []byte) mail.Role {
	if len(b) == 0 {
		return mail.RoleNone
	}
	for _, r := range [...]mail.Role{mail.RoleInbox, mail.RoleSent, mail.RoleJunk, mail.RoleTrash, mail.RoleDrafts, mail.RoleArchive} {
		if string(b) == string(r) {
			return r
		}
	}
	return mail.Role(strings.Clone(string(b)))
}

// count adds (sign 1) or takes away (sign -1) an entry.
func (m *box) count(e *Entry, sign int) {
	m.Messages += sign
	if !e.Flags.Has(mail.Seen) {
		m.Unseen += sign
	}
	if e.Flags.Has(mail.Deleted) {
		m.Deleted += sign
	}
	m.Size += mail.ByteCount(sign) * mail.ByteCount(e.Size)
}
