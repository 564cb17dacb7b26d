package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// maxGrants is how many may share one mailbox.
const maxGrants = 1000

// A Grant says what somebody else than the owner may do with a mailbox.
// RFC 4314 §2
type Grant struct {
	To     mail.AccountID // zero stands for everybody in the owner's domain
	Denied bool           // the rights are taken away, whatever else gives them
	Rights mail.Rights
}

// An ACL is the list of rights to a mailbox. Its owner, who is not in it, has
// all rights, always. Others have what the list gives to them and to
// everybody, without what it denies to them or to everybody.
type ACL []Grant

// Rights gives what an account other than the owner may do; neighbour says
// that it is one of the owner's domain.
func (l ACL) Rights(who mail.AccountID, neighbour bool) mail.Rights {
	given, denied := mail.NoRights, mail.NoRights
	for _, g := range l {
		switch {
		case g.To != who && (g.To != 0 || !neighbour):
		case g.Denied:
			denied |= g.Rights
		default:
			given |= g.Rights
		}
	}
	return given &^ denied
}

// An ACL's record.
//
//	version, {flags u8, rights u16, uvarint account}...
const grantDenied = 1

func appendACLKey(dst []byte, id mail.MailboxID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keys.ACL), uint32(id))
}

func (l ACL) append(dst []byte) []byte {
	dst = append(dst, rowFormat)
	for _, g := range l {
		var flags byte
		if g.Denied {
			flags |= grantDenied
		}
		dst = binary.LittleEndian.AppendUint16(append(dst, flags), uint16(g.Rights))
		dst = binary.AppendUvarint(dst, uint64(g.To))
	}
	return dst
}

// decodeACL reads a list; nil is the empty one.
func decodeACL(b []byte) (ACL, error) {
	if b == nil {
		return nil, nil
	}
	d := decoder{b: b}
	if d.byte() != rowFormat {
		return nil, fmt.Errorf("list of rights: %w", errCorrupt)
	}
	var list ACL
	for len(d.b) > 0 && !d.bad {
		g := Grant{Denied: d.byte()&grantDenied != 0}
		if p := d.bytes(2); p != nil {
			g.Rights = mail.Rights(binary.LittleEndian.Uint16(p))
		}
		g.To = mail.AccountID(d.uvarint())
		list = append(list, g)
	}
	if d.bad {
		return nil, fmt.Errorf("list of rights: %w", errCorrupt)
	}
	return list, nil
}

// ACL gives the list of rights to a mailbox.
func (a *Account) ACL(ctx context.Context, id mail.MailboxID) (ACL, error) {
	var list ACL
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{appendACLKey(nil, id)})
		if err == nil {
			list, err = decodeACL(got[0])
		}
		return err
	})
	return list, err
}

// ACLs gives the lists of all mailboxes that have one.
func (a *Account) ACLs(ctx context.Context) (map[mail.MailboxID]ACL, error) {
	all := map[mail.MailboxID]ACL{}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		clear(all)
		for it, err := range r.Scan([]byte{keys.ACL}, []byte{keys.ACL + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(it.Key) != 5 {
				return fmt.Errorf("key of a list of rights: %w", errCorrupt)
			}
			list, err := decodeACL(it.Value)
			if err != nil {
				return err
			}
			all[boxOfKey(it.Key)] = list
		}
		return nil
	})
	return all, err
}

// ChangeACL lets fn change the list of a mailbox, which may be one that is a
// bare name; fn may run more than once. It gives what the list is then.
// Whoever gets rights is told of it with Store.ShareWith, before.
func (a *Account) ChangeACL(ctx context.Context, now time.Time, id mail.MailboxID, fn func(ACL) ACL) (ACL, error) {
	var list ACL
	_, err := a.change(ctx, now, []mail.MailboxID{id}, nil, func(t *txn, _ [][]byte) error {
		m := t.boxOrName(id)
		if m == nil {
			return ErrNoMailbox
		}
		key := appendACLKey(nil, id)
		got, err := t.GetMany([][]byte{key})
		if err != nil {
			return err
		}
		was, err := decodeACL(got[0])
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(fn(slices.Clone(was)), func(g Grant) bool { return g.Rights == mail.NoRights })
		switch {
		case slices.Equal(list, was):
			return nil
		case len(list) > maxGrants:
			return fmt.Errorf("list of rights: %w", ErrTooMany)
		case len(list) == 0:
			t.Delete(key)
		default:
			t.Put(key, list.append(nil))
		}
		t.changeBox(MailboxChanged, m)
		return nil
	})
	return list, err
}

// boxOrName gives a mailbox that lives, if only as a bare name.
func (t *txn) boxOrName(id mail.MailboxID) *box {
	for _, m := range t.boxes {
		if m.ID == id && m.removed == 0 {
			return m
		}
	}
	return nil
}

// inheritACL gives a new mailbox the list of the one above it. RFC 4314 §4
func (t *txn) inheritACL(m *box) error {
	above := parents(m.Name)
	if len(above) == 0 {
		return nil
	}
	parent := t.named(above[len(above)-1])
	if parent == nil {
		return nil
	}
	got, err := t.GetMany([][]byte{appendACLKey(nil, parent.ID)})
	if err == nil && got[0] != nil {
		t.Put(appendACLKey(nil, m.ID), got[0])
	}
	return err
}

// forget lets go of what is kept beside the record of a mailbox.
func (t *txn) forget(id mail.MailboxID) error {
	t.Delete(appendACLKey(nil, id))
	t.dropSheets(id)
	return t.dropAnnotations(id)
}

// hintAge is how long ago a hint must have been written to be written again,
// or, doubled, to be taken away: whoever shares a mailbox writes the hint
// first, so that one that is older belongs to no change under way.
const hintAge = time.Hour

// Who shares mailboxes with an account is kept as hints in the account's own
// partition, and for everybody in a domain in one of all: a list of rights
// alone would have to be sought in all accounts. A hint may outlast what it
// tells of, but never comes too late.
//
//	account u64, or domain, 0, account u64 -> version, varint seconds

func appendSharerKey(dst []byte, by mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keys.Sharer), uint64(by))
}

func appendSharedByAllKey(dst []byte, domain string, by mail.AccountID) []byte {
	dst = append(append(append(dst, keys.SharedByAll), domain...), 0)
	return binary.BigEndian.AppendUint64(dst, uint64(by))
}

// ShareWith tells an account, or with zero everybody in a domain, that by is
// about to share a mailbox.
func (s *Store) ShareWith(ctx context.Context, now time.Time, to mail.AccountID, domain string, by mail.AccountID) error {
	hint := binary.AppendVarint([]byte{rowFormat}, now.Unix())
	if to != 0 {
		key := appendSharerKey(nil, by)
		_, err := s.Account(to).change(ctx, now, nil, [][]byte{key}, func(t *txn, got [][]byte) error {
			if got[0] == nil || hintBefore(got[0], now.Add(-hintAge)) {
				t.Put(key, hint)
				t.dirty = true
			}
			return nil
		})
		return err
	}
	key := appendSharedByAllKey(nil, domain, by)
	return kv.Apply(ctx, s.db, keys.Shared, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{key})
		if err == nil && (got[0] == nil || hintBefore(got[0], now.Add(-hintAge))) {
			tx.Put(key, hint)
		}
		return err
	})
}

func hintBefore(b []byte, t time.Time) bool {
	d := decoder{b: b}
	return d.byte() != rowFormat || d.varint() < t.Unix() || d.bad
}

// maxSharers bounds how many accounts one looks at for mailboxes that they
// share.
const maxSharers = 1000

// Sharers gives the accounts that may share mailboxes with this one, which is
// in a domain.
func (a *Account) Sharers(ctx context.Context, domain string) ([]mail.AccountID, error) {
	var list []mail.AccountID
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) (err error) {
		list, err = readHints(r, []byte{keys.Sharer}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	own := len(list)
	err = a.store.db.View(ctx, keys.Shared, func(r kv.Reader) (err error) {
		prefix := appendSharedByAllKey(nil, domain, 0)
		list, err = readHints(r, prefix[:len(prefix)-8], list[:own])
		return err
	})
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(id mail.AccountID) bool { return id == a.id }), err
}

func readHints(r kv.Reader, prefix []byte, list []mail.AccountID) ([]mail.AccountID, error) {
	for it, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{Limit: maxSharers, KeysOnly: true}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) == len(prefix)+8 {
			list = append(list, mail.AccountID(binary.BigEndian.Uint64(it.Key[len(prefix):])))
		}
	}
	return list, nil
}

// Unshare takes away the hints that by shares mailboxes with this account, as
// long as none of them is new. Its caller has seen that there are no such
// mailboxes.
func (a *Account) Unshare(ctx context.Context, now time.Time, by mail.AccountID) error {
	key := appendSharerKey(nil, by)
	stale := false
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{key})
		stale = err == nil && got[0] != nil && hintBefore(got[0], now.Add(-2*hintAge))
		return err
	})
	if err != nil || !stale {
		return err
	}
	_, err = a.change(ctx, now, nil, [][]byte{key}, func(t *txn, got [][]byte) error {
		if got[0] != nil && hintBefore(got[0], now.Add(-2*hintAge)) {
			t.Delete(key)
			t.dirty = true
		}
		return nil
	})
	return err
}
