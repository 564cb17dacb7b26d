package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// An image is a large mailbox as it once stood, in few rows, so that the first
// who opens it after a start need not wait for a row of each message. It lies
// in the partition of the account's index, and like that it is never needed:
//
//	v mailbox part u16 -> stretch of the image
//
// A stretch:
//
//	version, u32 uidvalidity, u64 highestmodseq, u32 entries of the image,
//	uvarint sets of keywords, {uvarint octets, as a row has them}... (part 0)
//	{uid u32, size u32, saved u32, flags u16, set u16, email u64, modseq u64,
//	internal i64}...
//
// Nothing happens to a mailbox without its HIGHESTMODSEQ getting higher, and
// none is given twice while UIDVALIDITY stays: where both are those of the
// mailbox, this is the mailbox. Where it has gone on, the log of changes tells
// what is to be read again.

const (
	imageFormat = 1
	imageHead   = 1 + 4 + 8 + 4
	imageEntry  = 40
	imagePart   = 1500 // entries in one row
	imageSets   = 64   // different sets of keywords, and octets of one, in an image
	imageWords  = 32

	// leastImage is from how many entries on an image is worth it, and mostImage
	// up to how many.
	leastImage = 1000
	mostImage  = imagePart * 0xffff

	// mostStrayed is how many entries that have changed since are read again.
	mostStrayed = 2000
)

func appendImageKey(dst []byte, id mail.MailboxID, part int) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, keys.IndexImage), uint32(id))
	return binary.BigEndian.AppendUint16(dst, uint16(part))
}

// imageOfKey gives the mailbox in a key.
func imageOfKey(key []byte) mail.MailboxID { return mail.MailboxID(binary.BigEndian.Uint32(key[1:])) }

// An imageReader puts an image together.
type imageReader struct {
	a        *Account
	snapshot Snapshot // of its info only what an image has
	total    int
	sets     []KeywordSet
}

// add reads the next stretch.
func (ir *imageReader) add(part int, b []byte) bool {
	d := decoder{b: b}
	if d.byte() != imageFormat {
		return false
	}
	p := d.bytes(imageHead - 1)
	if p == nil {
		return false
	}
	le := binary.LittleEndian
	validity, modseq, total := mail.UIDValidity(le.Uint32(p)), mail.ModSeq(le.Uint64(p[4:])), int(le.Uint32(p[12:]))
	s := &ir.snapshot
	if part == 0 {
		s.info.UIDValidity, s.info.HighestModSeq, ir.total = validity, modseq, total
		s.info.Messages = total
		n := d.uvarint()
		if n > imageSets {
			return false
		}
		ir.sets = append(ir.sets, 0)
		for range n {
			ir.sets = append(ir.sets, ir.a.keywords.intern(d.bytes(d.uvarint())))
		}
	}
	if d.bad || validity != s.info.UIDValidity || modseq != s.info.HighestModSeq || total != ir.total ||
		len(d.b)%imageEntry != 0 || s.Len()+len(d.b)/imageEntry > total {
		return false
	}
	last := s.lastUID()
	for b := d.b; len(b) > 0; {
		if len(s.tail) == cap(s.tail) {
			s.room(total - s.Len())
		}
		have := len(s.tail)
		n := min(cap(s.tail)-have, len(b)/imageEntry)
		s.tail = s.tail[:have+n]
		if last = readEntries(s.tail[have:], b, ir.sets, last); last == 0 {
			return false
		}
		b = b[n*imageEntry:]
	}
	return true
}

// readEntries reads as many entries as there is room for in dst. It gives the last
// UID, or zero if they are not in order or one has a set of keywords that is not
// there.
func readEntries(dst []Entry, b []byte, sets []KeywordSet, last mail.UID) mail.UID {
	le := binary.LittleEndian
	for i := range dst {
		b := b[i*imageEntry:][:imageEntry]
		uid, set := mail.UID(le.Uint32(b)), int(le.Uint16(b[14:]))
		if uid <= last || set >= len(sets) {
			return 0
		}
		last = uid
		e := &dst[i] // field by field: a whole Entry would be put together elsewhere and copied
		e.UID, e.Size, e.Saved = uid, le.Uint32(b[4:]), le.Uint32(b[8:])
		e.Flags, e.Keywords = mail.Flags(le.Uint16(b[12:])), sets[set]
		e.Email, e.ModSeq, e.Internal = mail.EmailID(le.Uint64(b[16:])), mail.ModSeq(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	}
	return last
}

// readImage reads the image of a mailbox, nil if there is none that is whole. It
// is read before the mailbox is, which may have gone on.
func (a *Account) readImage(ctx context.Context, id mail.MailboxID) *Snapshot {
	var ir imageReader
	whole := false
	err := a.store.db.View(ctx, keys.Index(a.id), func(r kv.Reader) error {
		ir, whole = imageReader{a: a}, false
		part := 0
		lo := appendImageKey(nil, id, 0)
		for it, err := range r.Scan(lo, kv.PrefixEnd(lo[:5]), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(it.Key) != len(lo) || string(it.Key) != string(appendImageKey(lo[:0:0], id, part)) || !ir.add(part, it.Value) {
				return nil
			}
			if part++; ir.snapshot.Len() == ir.total { // what follows is of a longer one
				whole = true
				return nil
			}
		}
		return nil
	})
	if err != nil || !whole {
		return nil // the mailbox is read, and will say what is wrong
	}
	return &ir.snapshot
}

// fromImage makes a mailbox of its image and of what has happened since; nil if
// that is not to be had. strayed is how many entries that was.
func (a *Account) fromImage(r kv.Reader, h *head, id mail.MailboxID, image *Snapshot) (s *Snapshot, strayed int, err error) {
	got, err := r.GetMany([][]byte{appendBoxKey(nil, id)})
	if err != nil || got[0] == nil {
		return nil, 0, err
	}
	m, err := decodeBox(id, got[0])
	if err != nil || m.removed != 0 || m.NoSelect {
		return nil, 0, err
	}
	if err := a.learnKeywords(r, h); err != nil {
		return nil, 0, err
	}
	since := image.info.HighestModSeq
	if image.info.UIDValidity != m.UIDValidity || since > m.HighestModSeq || h.pending > 0 {
		return nil, 0, nil
	}
	e := effect{info: m.Info}
	if since < m.HighestModSeq {
		if since < h.forgotten || h.modseq-since > mostStrayed {
			return nil, 0, nil
		}
		list, err := touchedSince(r, h, since, []mail.MailboxID{m.ID})
		if err != nil {
			return nil, 0, err
		}
		for _, t := range list {
			if strayed = len(t.live) + len(t.vanished); t.all || strayed > mostStrayed {
				return nil, 0, nil
			}
			if e, err = a.readEffect(r, h, t); err != nil {
				return nil, 0, err
			}
		}
	}
	if s = image.apply(&e); !s.addsUp() {
		return nil, 0, nil
	}
	return s, strayed, nil
}

// addsUp tells whether the entries are those that the mailbox counts.
func (s *Snapshot) addsUp() bool {
	var m box
	for i := range s.blocks {
		m.countAll(s.blocks[i].entries)
	}
	m.countAll(s.tail)
	return m.Messages == s.info.Messages && m.Unseen == s.info.Unseen && m.Deleted == s.info.Deleted && m.Size == s.info.Size &&
		s.lastUID() < s.info.UIDNext
}

func (m *box) countAll(entries []Entry) {
	unseen, deleted, size := 0, 0, mail.ByteCount(0)
	for i := range entries {
		e := &entries[i]
		if !e.Flags.Has(mail.Seen) {
			unseen++
		}
		if e.Flags.Has(mail.Deleted) {
			deleted++
		}
		size += mail.ByteCount(e.Size)
	}
	m.Messages += len(entries)
	m.Unseen += unseen
	m.Deleted += deleted
	m.Size += size
}

// imageRows makes the rows of an image; nil where there are too many different
// keywords.
func (a *Account) imageRows(id mail.MailboxID, s *Snapshot) []kv.Item {
	le := binary.LittleEndian
	head := append(make([]byte, 0, imageHead), imageFormat)
	head = le.AppendUint32(head, uint32(s.info.UIDValidity))
	head = le.AppendUint64(head, uint64(s.info.HighestModSeq))
	head = le.AppendUint32(head, uint32(s.Len()))
	numbers := map[KeywordSet]uint16{0: 0}
	var words []byte
	for _, e := range s.Entries(0) {
		if _, ok := numbers[e.Keywords]; ok {
			continue
		}
		of := a.keywords.words(e.Keywords)
		if len(numbers) > imageSets || len(of) > imageWords {
			return nil
		}
		numbers[e.Keywords] = uint16(len(numbers))
		words = append(binary.AppendUvarint(words, uint64(len(of))), of...)
	}
	first := append(binary.AppendUvarint(append([]byte(nil), head...), uint64(len(numbers)-1)), words...)
	var rows []kv.Item
	row := first
	for i, e := range s.Entries(0) {
		if i > 0 && i%imagePart == 0 {
			rows = append(rows, kv.Item{Key: appendImageKey(nil, id, len(rows)), Value: row})
			row = append(make([]byte, 0, imageHead+imagePart*imageEntry), head...)
		}
		row = le.AppendUint32(row, uint32(e.UID))
		row = le.AppendUint32(row, e.Size)
		row = le.AppendUint32(row, e.Saved)
		row = le.AppendUint16(row, uint16(e.Flags))
		row = le.AppendUint16(row, numbers[e.Keywords])
		row = le.AppendUint64(row, uint64(e.Email))
		row = le.AppendUint64(row, uint64(e.ModSeq))
		row = le.AppendUint64(row, uint64(e.Internal))
	}
	return append(rows, kv.Item{Key: appendImageKey(nil, id, len(rows)), Value: row})
}

// writeImage stores the image of a mailbox. While it is being written there is
// none.
func (a *Account) writeImage(ctx context.Context, id mail.MailboxID, s *Snapshot) error {
	rows := a.imageRows(id, s)
	for len(rows) > 0 {
		n := min(len(rows), imageAtOnce)
		err := kv.Apply(ctx, a.store.db, keys.Index(a.id), func(tx kv.Txn) error {
			for _, it := range rows[:n] {
				tx.Put(it.Key, it.Value)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("image of mailbox %v: %w", id, err)
		}
		rows = rows[n:]
	}
	return nil
}

// imageAtOnce is how many rows one transaction writes: about a mebibyte.
const imageAtOnce = 16
