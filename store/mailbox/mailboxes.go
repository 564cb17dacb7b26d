package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A nameTable remembers which mailbox has which name and role. What it says
// is checked against the mailbox's record, so that it may be out of date.
type nameTable struct {
	at     mail.ModSeq // head.names when it was made
	byName map[string]mail.MailboxID
	byRole map[mail.Role]mail.MailboxID
}

// readBoxes reads all mailboxes that live.
func readBoxes(r kv.Reader) ([]*box, error) {
	list, err := readAllBoxes(r)
	return slices.DeleteFunc(list, func(m *box) bool { return m.removed != 0 }), err
}

// readAllBoxes reads also those that are deleted but not yet purged.
func readAllBoxes(r kv.Reader) ([]*box, error) {
	var list []*box
	for it, err := range r.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) != 5 {
			return nil, fmt.Errorf("key of a mailbox: %w", errCorrupt)
		}
		m, err := decodeBox(mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), it.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, &m)
	}
	return list, nil
}

// Mailboxes lists the mailboxes by name, INBOX first.
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error) {
	var list []Info
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		boxes, err := readBoxes(r)
		if err != nil {
			return err
		}
		a.remember(h, boxes)
		list = make([]Info, 0, len(boxes))
		for _, m := range boxes {
			list = append(list, m.Info)
		}
		return nil
	})
	slices.SortFunc(list, func(x, y Info) int { return compareNames(x.Name, y.Name) })
	return list, err
}

// remember makes a new table of names. The state is durable.
func (a *Account) remember(h *head, boxes []*box) *nameTable {
	t := &nameTable{h.names, make(map[string]mail.MailboxID, len(boxes)), make(map[mail.Role]mail.MailboxID)}
	for _, m := range boxes {
		t.byName[m.Name] = m.ID
		if m.Role != mail.RoleNone {
			t.byRole[m.Role] = m.ID
		}
	}
	a.names.Store(t)
	return t
}

// Mailbox finds a mailbox by its name, INBOX in any case.
func (a *Account) Mailbox(ctx context.Context, name string) (Info, error) {
	name, err := CleanName(name)
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrNoMailbox, err)
	}
	return a.find(ctx,
		func(t *nameTable) mail.MailboxID { return t.byName[name] },
		func(m *Info) bool { return m.Name == name })
}

// MailboxByRole finds the mailbox with a role.
func (a *Account) MailboxByRole(ctx context.Context, role mail.Role) (Info, error) {
	if role == mail.RoleNone {
		return Info{}, ErrNoMailbox
	}
	return a.find(ctx,
		func(t *nameTable) mail.MailboxID { return t.byRole[role] },
		func(m *Info) bool { return m.Role == role })
}

// MailboxByID finds a mailbox by its number.
func (a *Account) MailboxByID(ctx context.Context, id mail.MailboxID) (Info, error) {
	var found Info
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		m, _, err := readBox(r, id)
		if m != nil {
			found = m.Info
		}
		return err
	})
	if err == nil && found.ID == 0 {
		err = ErrNoMailbox
	}
	return found, err
}

// readBox reads the head and a mailbox that lives in one round trip; nil if
// there is no such mailbox.
func readBox(r kv.Reader, id mail.MailboxID) (*box, head, error) {
	got, err := r.GetMany([][]byte{headKey, appendBoxKey(nil, id)})
	if err != nil {
		return nil, head{}, err
	}
	h, err := decodeHead(got[0])
	if err != nil || got[1] == nil {
		return nil, h, err
	}
	m, err := decodeBox(id, got[1])
	if err != nil || m.removed != 0 {
		return nil, h, err
	}
	return &m, h, nil
}

// find looks in the table of names first, and reads all mailboxes when the
// table is of no help.
func (a *Account) find(ctx context.Context, look func(*nameTable) mail.MailboxID, fits func(*Info) bool) (Info, error) {
	var found Info
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		var guess mail.MailboxID
		t := a.names.Load()
		if t != nil {
			guess = look(t)
		}
		m, h, err := readBox(r, guess)
		if err != nil {
			return err
		}
		if m == nil || !fits(&m.Info) {
			if t != nil && t.at == h.names {
				return ErrNoMailbox
			}
			boxes, err := readBoxes(r)
			if err != nil {
				return err
			}
			a.remember(&h, boxes)
			i := slices.IndexFunc(boxes, func(m *box) bool { return fits(&m.Info) })
			if i < 0 {
				return ErrNoMailbox
			}
			m = boxes[i]
		}
		found = m.Info
		return nil
	})
	return found, err
}

// CreateOptions are the settings of a new mailbox.
type CreateOptions struct {
	Role mail.Role // RFC 6154 §3; ErrExists if another mailbox has it
}

// CreateMailbox makes a mailbox, and those above it that are missing.
// RFC 9051 §6.3.4
func (a *Account) CreateMailbox(ctx context.Context, name string, o CreateOptions) (Info, error) {
	return a.createMailbox(ctx, name, o, false)
}

// createMailbox is the same, and may pass over the limits.
func (a *Account) createMailbox(ctx context.Context, name string, o CreateOptions, unlimited bool) (Info, error) {
	name, err := CleanName(name)
	if err != nil {
		return Info{}, err
	}
	var made Info
	_, err = a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.unlimited = unlimited
		boxes, err := t.readNames()
		if err != nil {
			return err
		}
		if o.Role != mail.RoleNone && slices.ContainsFunc(boxes, func(m *box) bool { return m.Role == o.Role }) {
			return fmt.Errorf("a mailbox with role %s: %w", o.Role, ErrExists)
		}
		for _, parent := range parents(name) {
			if _, err := t.makeMailbox(parent, mail.RoleNone); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
		}
		m, err := t.makeMailbox(name, o.Role)
		if err != nil {
			return err
		}
		made = m.Info
		made.HighestModSeq = t.modseq()
		return nil
	})
	return made, err
}

// readNames reads all mailboxes, for a change of names.
func (t *txn) readNames() ([]*box, error) {
	all, err := readAllBoxes(t)
	if err != nil {
		return nil, err
	}
	t.removed = 0
	t.boxes = slices.DeleteFunc(all, func(m *box) bool {
		if m.removed != 0 {
			t.removed++
		}
		return m.removed != 0
	})
	return t.boxes, nil
}

// named finds a mailbox after readNames.
func (t *txn) named(name string) *box {
	for _, m := range t.boxes {
		if m.Name == name && m.removed == 0 {
			return m
		}
	}
	return nil
}

// makeMailbox adds a mailbox, after readNames. A bare name becomes a mailbox.
func (t *txn) makeMailbox(name string, role mail.Role) (*box, error) {
	if m := t.named(name); m != nil {
		if !m.NoSelect {
			return m, ErrExists
		}
		m.NoSelect, m.Role = false, role
		t.changeBox(MailboxChanged, m)
		return m, nil
	}
	// Those that wait to be purged have a limit too.
	if most := t.a.store.maxBoxes(&t.head); !t.unlimited && (t.head.boxes >= int64(most) || t.removed >= most) {
		return nil, fmt.Errorf("mailboxes: %w", ErrTooMany)
	}
	got, err := t.GetMany([][]byte{appendSubscriptionKey(nil, name)})
	if err != nil {
		return nil, err
	}
	m := t.head.newBox(name, role)
	m.Subscribed = got[0] != nil
	t.boxes = append(t.boxes, m)
	t.changeBox(MailboxCreated, m)
	return m, t.inheritACL(m)
}

// changeBox logs that a mailbox itself has changed.
func (t *txn) changeBox(kind ChangeKind, m *box) {
	t.log(byte(kind), m, nil, nil)
	t.head.names = t.modseq()
	if e := t.effect(m); e != nil && kind == MailboxDeleted {
		e.gone = true
	}
}

// Subscribe adds a name to the subscriptions or takes it away; there need be
// no such mailbox. RFC 9051 §6.3.7
func (a *Account) Subscribe(ctx context.Context, name string, subscribed bool) error {
	name, err := CleanName(name)
	if err != nil {
		return err
	}
	key := appendSubscriptionKey(nil, name)
	_, err = a.change(ctx, time.Now(), nil, [][]byte{key}, func(t *txn, got [][]byte) error {
		if (got[0] != nil) == subscribed {
			return nil
		}
		if _, err := t.readNames(); err != nil {
			return err
		}
		if !subscribed {
			t.Delete(key)
		} else if err := t.subscribe(name); err != nil {
			return err
		}
		t.dirty = true
		if m := t.named(name); m != nil {
			m.Subscribed = subscribed
			t.changeBox(MailboxChanged, m)
		}
		return nil
	})
	return err
}

// subscribe adds a name, as long as there are not too many.
func (t *txn) subscribe(name string) error {
	if t.subscribed == 0 {
		for _, err := range t.Scan([]byte{keys.Subscr}, []byte{keys.Subscr + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			t.subscribed++
		}
	}
	if t.subscribed++; t.subscribed > 2*t.a.store.o.MaxMailboxes {
		return fmt.Errorf("subscriptions: %w", ErrTooMany)
	}
	t.Put(appendSubscriptionKey(nil, name), append([]byte{rowFormat}, name...))
	return nil
}

// Subscriptions lists the subscribed names, in the order of Mailboxes.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) {
	var list []string
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		list = list[:0]
		for it, err := range r.Scan([]byte{keys.Subscr}, []byte{keys.Subscr + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(it.Value) < 1 || it.Value[0] != rowFormat {
				return fmt.Errorf("subscription: %w", errCorrupt)
			}
			list = append(list, string(it.Value[1:]))
		}
		return nil
	})
	slices.SortFunc(list, compareNames)
	return list, err
}
