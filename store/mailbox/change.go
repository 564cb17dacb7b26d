package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Change is what one transaction did to an account.
type Change struct {
	ModSeq    mail.ModSeq
	Time      time.Time
	Mailboxes []MailboxChange
	Created   []Affected
	Changed   []Affected // flags or keywords
	Vanished  []Affected
	Noted     []Noting // annotations
}

// A Noting tells that an annotation has changed, of a mailbox or, as of
// mailbox zero, of the server.
type Noting struct {
	Mailbox mail.MailboxID
	Name    string
}

// A MailboxChange tells of one mailbox. MailboxDeleted stands for all that
// the mailbox held: its entries are not listed as vanished.
type MailboxChange struct {
	Mailbox mail.MailboxID
	Kind    ChangeKind
	Before  string // the name that it had, when it was renamed
}

// A ChangeKind tells what happened to a mailbox.
type ChangeKind uint8

// What can happen to a mailbox itself.
const (
	MailboxCreated ChangeKind = 1 + iota
	MailboxChanged            // name, role, subscription
	MailboxDeleted
)

// An Affected lists entries of one mailbox, in the order of their UIDs, and
// the emails that they are.
type Affected struct {
	Mailbox mail.MailboxID
	UIDs    []mail.UID
	Emails  []mail.EmailID

	before []before // of what changed, as far as the log tells
}

// What an item of the log tells. The first three are those of ChangeKind.
const (
	itemCreated  = 16
	itemChanged  = 17
	itemVanished = 18
	itemSet      = 19 // changed, with what was before
	itemRenamed  = 20 // MailboxChanged, with the name before
	itemNoted    = 21 // an annotation has changed, with its name
)

// An item is one line of a change record.
type item struct {
	kind    byte
	mailbox mail.MailboxID
	Affected
}

// maxPart is how many entries one record holds, so that no record is over the
// limit of a value: at worst 5+1 and 8+1 octets each.
const maxPart = 4000

func appendChangeKey(dst []byte, m mail.ModSeq, part int) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, keys.Change), uint64(m)), byte(part))
}

// putChange writes a change record, in parts if it must.
//
//	key: 'c', modseq u64, part u8
//	version, varint seconds, {kind, uvarint mailbox, runs of uids, runs of emails}...
//
// After an itemSet follow runs of what was before, after an itemRenamed and an
// itemNoted the length of a name and the name; the version is changeBefore
// then.
func putChange(tx kv.Txn, scratch []byte, m mail.ModSeq, now time.Time, items []item) error {
	part, used := 0, 0
	key := appendChangeKey(make([]byte, 0, 10), m, 0)
	start := func() []byte {
		used = 0
		return binary.AppendVarint(append(scratch[:0], changeFormat), now.Unix())
	}
	flush := func(b []byte) []byte {
		key[len(key)-1] = byte(part)
		tx.Put(key, b)
		part++
		scratch = b
		return start()
	}
	b := start()
	lines := 0
	for i := range items {
		it := &items[i]
		uids, emails, earlier := it.UIDs, it.Emails, it.before
		for first := true; first || len(uids) > 0; first = false {
			n, cost := fit(it.kind, len(uids), earlier, maxPart-used)
			if used+cost > maxPart || lines >= maxPart || n == 0 && len(uids) > 0 {
				b = flush(b)
				lines = 0
				n, cost = fit(it.kind, len(uids), earlier, maxPart)
			}
			b = binary.AppendUvarint(append(b, it.kind), uint64(it.mailbox))
			b = appendRuns(b, uids[:n])
			b = appendRuns(b, emails[:n])
			switch it.kind {
			case itemSet:
				b, earlier = appendBefore(b, earlier, n)
				b[0] = changeBefore
			case itemRenamed, itemNoted:
				b = binary.AppendUvarint(b, uint64(len(earlier[0].words)))
				b = append(b, earlier[0].words...)
				b[0] = changeBefore
			}
			uids, emails = uids[n:], emails[n:]
			used += cost
			lines++
		}
	}
	flush(b)
	if part > 256 {
		return kv.ErrTooLarge
	}
	return nil
}

// appendRuns writes numbers as runs of successive ones: how many runs, then
// for each the distance from the last number and the length less one.
func appendRuns[N mail.UID | mail.EmailID](dst []byte, list []N) []byte {
	runs := 0
	for i := range list {
		if i == 0 || list[i] != list[i-1]+1 {
			runs++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(runs))
	var last int64
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && list[i+n] == list[i+n-1]+1 {
			n++
		}
		dst = binary.AppendVarint(dst, int64(list[i])-last)
		dst = binary.AppendUvarint(dst, uint64(n-1))
		last = int64(list[i+n-1])
		i += n
	}
	return dst
}

func decodeRuns[N mail.UID | mail.EmailID](d *decoder) []N {
	var list []N
	var last int64
	for runs := d.uvarint(); runs > 0 && !d.bad; runs-- {
		last += d.varint()
		n := d.uvarint()
		if n >= maxPart || len(list) > maxPart {
			d.bad = true
			return nil
		}
		for i := uint64(0); i <= n; i++ {
			list = append(list, N(last)+N(i))
		}
		last += int64(n)
	}
	return list
}

// decodeChange adds the items of one part.
func decodeChange(c *Change, b []byte) error {
	d := decoder{b: b}
	if format := d.byte(); format != changeFormat && format != changeBefore {
		return fmt.Errorf("change %d: %w", c.ModSeq, errCorrupt)
	}
	c.Time = time.Unix(d.varint(), 0).UTC()
	for len(d.b) > 0 && !d.bad {
		kind, id := d.byte(), mail.MailboxID(d.uvarint())
		of := Affected{Mailbox: id, UIDs: decodeRuns[mail.UID](&d), Emails: decodeRuns[mail.EmailID](&d)}
		if len(of.UIDs) != len(of.Emails) {
			d.bad = true
		}
		switch kind {
		case itemCreated:
			c.Created = append(c.Created, of)
		case itemChanged:
			c.Changed = append(c.Changed, of)
		case itemSet:
			of.before = decodeBefore(&d, len(of.UIDs))
			c.Changed = append(c.Changed, of)
		case itemVanished:
			c.Vanished = append(c.Vanished, of)
		case itemNoted:
			c.Noted = append(c.Noted, Noting{id, string(d.bytes(d.uvarint()))})
		case itemRenamed:
			c.Mailboxes = append(c.Mailboxes, MailboxChange{id, MailboxChanged, string(d.bytes(d.uvarint()))})
		default:
			c.Mailboxes = append(c.Mailboxes, MailboxChange{Mailbox: id, Kind: ChangeKind(kind)})
		}
	}
	if d.bad {
		return fmt.Errorf("change %d: %w", c.ModSeq, errCorrupt)
	}
	return nil
}

// changesIn goes through the changes after since that a state holds.
func changesIn(r kv.Reader, since mail.ModSeq, limit int) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		var c Change
		for kvItem, err := range r.Scan(appendChangeKey(nil, since+1, 0), []byte{keys.Change + 1}, kv.ScanOptions{Limit: limit}) {
			if err != nil {
				yield(Change{}, err)
				return
			}
			if len(kvItem.Key) != 10 {
				yield(Change{}, fmt.Errorf("key of a change: %w", errCorrupt))
				return
			}
			m := mail.ModSeq(binary.BigEndian.Uint64(kvItem.Key[1:]))
			if m != c.ModSeq {
				if c.ModSeq != 0 && !yield(c, nil) {
					return
				}
				c = Change{ModSeq: m}
			}
			if err := decodeChange(&c, kvItem.Value); err != nil {
				yield(Change{}, err)
				return
			}
		}
		if c.ModSeq != 0 {
			yield(c, nil)
		}
	}
}

// Changes goes through the changes after since, the oldest first, as far as
// they were durable when it began. If some of them have been forgotten it
// yields ErrTooOld.
func (a *Account) Changes(ctx context.Context, since mail.ModSeq) iter.Seq2[Change, error] {
	const page = 500
	return func(yield func(Change, error) bool) {
		for last := mail.ModSeq(0); ; {
			var found []Change
			err := a.view(ctx, func(r kv.Reader, h *head) error {
				if since < h.forgotten {
					return ErrTooOld
				}
				if last == 0 {
					last = h.modseq
				}
				found = found[:0]
				for c, err := range changesIn(r, since, page) {
					if err != nil {
						return err
					}
					found = append(found, c)
				}
				return nil
			})
			if err != nil {
				yield(Change{}, err)
				return
			}
			// The page may have cut the last change in two.
			if len(found) > 1 && since < last {
				if n := len(found) - 1; found[n].ModSeq < last {
					found = found[:n]
				}
			}
			for _, c := range found {
				if c.ModSeq > last || !yield(c, nil) {
					return
				}
				since = c.ModSeq
			}
			if len(found) == 0 || since >= last {
				return
			}
		}
	}
}

// Watch gives a channel that receives the account's newest modseq after
// durable changes, here or on another node; several may come as one. It is
// closed when ctx or the store ends.
func (a *Account) Watch(ctx context.Context) (<-chan mail.ModSeq, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.store.ctx, cancel)
	versions, err := a.store.db.Watch(ctx, a.part)
	if err == nil {
		err = a.store.start()
	}
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	out := make(chan mail.ModSeq, 1)
	go func() {
		defer a.store.work.Done()
		defer cancel()
		defer stop()
		defer close(out)
		var told mail.ModSeq
		for range versions {
			h, err := a.head(ctx)
			if errors.Is(err, ErrNoAccount) {
				return
			}
			if err != nil || h.modseq <= told {
				continue
			}
			told = h.modseq
			select { // the reader is behind: it gets the newest only
			case <-out:
			default:
			}
			out <- told
		}
	}()
	return out, nil
}
