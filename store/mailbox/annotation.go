package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Limits of annotations. RFC 5464 §4.1 asks for 1,024 octets and ten of them.
const (
	MaxAnnotation        = 32 << 10 // octets of a value
	maxAnnotationName    = 512
	maxAnnotations       = 100      // of a mailbox or the server, shared and private each
	maxAnnotationsOctets = 16 << 20 // of an account, unless SetLimits says otherwise
)

// ErrAnnotations says that a mailbox, or the server, has too many.
var ErrAnnotations = errors.New("too many annotations")

// An Annotation is a named value beside a mailbox. RFC 5464 §3
type Annotation struct {
	Name  string // in lower case, from "/private/" or "/shared/" on
	Value []byte // nil to have none
}

// IsPrivate tells whether an annotation is one user's own.
func IsPrivate(name string) bool { return strings.HasPrefix(name, "/private/") }

// A Noted is where annotations belong. The zero Noted is the server, whose
// private annotations are the account's and whose shared ones are everybody's.
type Noted struct {
	Owner   mail.AccountID // of the mailbox, if it is another account's
	Mailbox mail.MailboxID
}

// Private annotations of a mailbox are kept by the account that made them,
// shared ones by the mailbox's owner; those of the server that are shared, in
// a partition of all.
//
//	owner u64, mailbox u32, 'p' or 's', hash of the name -> version,
//	uvarint length of the name, name, value
func appendNotedKey(dst []byte, of Noted, scope byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keys.Annotation), uint64(of.Owner))
	dst = binary.BigEndian.AppendUint32(dst, uint32(of.Mailbox))
	return append(dst, scope)
}

const notedKeyLen = 1 + 8 + 4 + 1 + 16

func appendAnnotationKey(dst []byte, of Noted, name string) []byte {
	scope := byte('s')
	if IsPrivate(name) {
		scope = 'p'
	}
	sum := sha256.Sum256([]byte(name))
	return append(appendNotedKey(dst, of, scope), sum[:16]...)
}

func (n *Annotation) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, rowFormat), uint64(len(n.Name)))
	return append(append(dst, n.Name...), n.Value...)
}

func decodeAnnotation(b []byte) (Annotation, error) {
	d := decoder{b: b}
	format := d.byte()
	name := d.bytes(d.uvarint())
	if d.bad || format != rowFormat || len(name) == 0 {
		return Annotation{}, fmt.Errorf("annotation: %w", errCorrupt)
	}
	return Annotation{string(name), slices.Clone(d.b)}, nil
}

// Annotations gives those of a mailbox, of one scope, by name. Those of
// scope shared are asked of the mailbox's owner, with Owner zero.
func (a *Account) Annotations(ctx context.Context, of Noted, private bool) ([]Annotation, error) {
	var list []Annotation
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) (err error) {
		scope := byte('s')
		if private {
			scope = 'p'
		}
		list, err = readAnnotations(r, appendNotedKey(nil, of, scope))
		return err
	})
	return list, err
}

func readAnnotations(r kv.Reader, prefix []byte) ([]Annotation, error) {
	var list []Annotation
	for it, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{Limit: maxAnnotations}) {
		if err != nil {
			return nil, err
		}
		n, err := decodeAnnotation(it.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(x, y Annotation) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

// Annotate sets annotations, or takes away those without a value, all or none.
// Fails with ErrNoMailbox, ErrTooLarge, ErrAnnotations, or ErrOverQuota where all
// of the account's would have too many octets. A mailbox of another
// account is not looked for.
func (a *Account) Annotate(ctx context.Context, now time.Time, of Noted, list ...Annotation) error {
	for _, n := range list {
		if len(n.Value) > MaxAnnotation || len(n.Name) > maxAnnotationName {
			return fmt.Errorf("annotation %.64s: %w", n.Name, ErrTooLarge)
		}
	}
	want := make([][]byte, len(list))
	for i, n := range list {
		want[i] = appendAnnotationKey(nil, of, n.Name)
	}
	var boxes []mail.MailboxID
	if of.Owner == 0 && of.Mailbox != 0 {
		boxes = []mail.MailboxID{of.Mailbox}
	}
	_, err := a.change(ctx, now, boxes, want, func(t *txn, got [][]byte) error {
		if boxes != nil && t.boxOrName(of.Mailbox) == nil {
			return ErrNoMailbox
		}
		return t.annotate(of, list, want, got)
	})
	return err
}

func (t *txn) annotate(of Noted, list []Annotation, at, got [][]byte) error {
	more, before := map[byte]int{}, t.head.notes
	for i := range list {
		n, scope := &list[i], at[i][notedKeyLen-17]
		was := mail.ByteCount(len(got[i]))
		if n.Value == nil {
			if got[i] == nil {
				continue
			}
			t.Delete(at[i])
		} else {
			b := n.append(nil)
			if string(b) == string(got[i]) {
				continue
			}
			t.Put(at[i], b)
			t.head.notes += mail.ByteCount(len(b))
			if got[i] == nil {
				more[scope]++
			}
		}
		t.head.notes -= was
		t.logNoted(of, n.Name)
	}
	if t.head.notes > max(before, t.head.notesLimit()) {
		return fmt.Errorf("annotations: %w", ErrOverQuota)
	}
	for scope, added := range more {
		if added > 0 {
			if err := t.countAnnotations(appendNotedKey(nil, of, scope)); err != nil {
				return err
			}
		}
	}
	return nil
}

// countAnnotations refuses when there are too many under a prefix.
func (t *txn) countAnnotations(prefix []byte) error {
	n := 0
	for _, err := range t.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{KeysOnly: true, Limit: maxAnnotations + 1}) {
		if err != nil {
			return err
		}
		n++
	}
	if n > maxAnnotations {
		return ErrAnnotations
	}
	return nil
}

// logNoted logs that an annotation has changed, with its name; of the server,
// as of mailbox zero, and not at all what others' mailboxes are noted with. The
// mailbox has a new mod-sequence then. RFC 7162 §3.2
func (t *txn) logNoted(of Noted, name string) {
	t.dirty = true
	if of.Owner != 0 {
		return
	}
	if m := t.boxOrName(of.Mailbox); m != nil {
		m.HighestModSeq = t.modseq()
		t.effect(m)
	}
	t.items = append(t.items, item{itemNoted, of.Mailbox, Affected{Mailbox: of.Mailbox, before: []before{{words: name}}}})
}

// dropAnnotations takes away what a mailbox is noted with.
func (t *txn) dropAnnotations(id mail.MailboxID) error {
	prefix := appendNotedKey(nil, Noted{Mailbox: id}, 0)
	prefix = prefix[:len(prefix)-1]
	found := false
	for it, err := range t.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		t.head.notes -= mail.ByteCount(len(it.Value))
		found = true
	}
	if found {
		t.DeleteRange(prefix, kv.PrefixEnd(prefix))
	}
	return nil
}

// copyAnnotations notes one mailbox with what another is noted with, unless
// that would be too much.
func (a *Account) copyAnnotations(ctx context.Context, now time.Time, from, to mail.MailboxID) error {
	for _, private := range [...]bool{false, true} {
		list, err := a.Annotations(ctx, Noted{Mailbox: from}, private)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := a.Annotate(ctx, now, Noted{Mailbox: to}, list...); err != nil && !errors.Is(err, ErrOverQuota) {
			return err
		}
	}
	return nil
}

// ServerAnnotations gives those of the server that everybody shares.
func (s *Store) ServerAnnotations(ctx context.Context) ([]Annotation, error) {
	var list []Annotation
	err := s.db.View(ctx, keys.Shared, func(r kv.Reader) (err error) {
		list, err = readAnnotations(r, []byte{keys.ServerNote})
		return err
	})
	return list, err
}

// AnnotateServer sets annotations of the server that everybody shares.
func (s *Store) AnnotateServer(ctx context.Context, list ...Annotation) error {
	for _, n := range list {
		if len(n.Value) > MaxAnnotation || len(n.Name) > maxAnnotationName {
			return fmt.Errorf("annotation %.64s: %w", n.Name, ErrTooLarge)
		}
	}
	return kv.Apply(ctx, s.db, keys.Shared, func(tx kv.Txn) error {
		for _, n := range list {
			sum := sha256.Sum256([]byte(n.Name))
			key := append([]byte{keys.ServerNote}, sum[:16]...)
			if n.Value == nil {
				tx.Delete(key)
			} else {
				tx.Put(key, n.append(nil))
			}
		}
		count := 0
		for _, err := range tx.Scan([]byte{keys.ServerNote}, []byte{keys.ServerNote + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			count++
		}
		if count > maxAnnotations {
			return ErrAnnotations
		}
		return nil
	})
}
