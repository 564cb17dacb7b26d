package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Verify checks what must hold in an account: counts and sizes of mailboxes
// and of the account, UIDs below UIDNEXT, modseqs within bounds, every entry's
// email with its places, every email's body and references, every thread.
// It reads the whole account but for the octets of large bodies, in one
// snapshot, and gives all that is wrong.
func (a *Account) Verify(ctx context.Context) error {
	c := check{
		boxes:  make(map[mail.MailboxID]*box),
		tally:  make(map[mail.MailboxID]*box),
		emails: make(map[mail.EmailID]*places),
		bodies: make(map[blob.Sum]int64),
		whole:  make(map[blob.Sum]record),
		rests:  make(map[mail.EmailID]int),
	}
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		c.r, c.h = r, h
		for _, step := range []func() error{c.readBoxes, c.readEntries, c.readGone, c.readEmails, c.readRests, c.readBodies, c.readChanges} {
			if err := step(); err != nil {
				return err
			}
		}
		c.compare()
		return nil
	})
	if err != nil {
		return err
	}
	for sum, record := range c.whole {
		if record.where == bodyBlob {
			b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: sum})
			if err != nil {
				c.wrong("blob %v: %v", sum, err)
				continue
			}
			if b.Size() != record.body {
				c.wrong("blob %v has %d octets, not %d", sum, b.Size(), record.body)
			}
			if err := b.Close(); err != nil {
				return err
			}
		}
	}
	return errors.Join(c.faults...)
}

// A check is what Verify has found so far.
type check struct {
	r      kv.Reader
	h      *head
	boxes  map[mail.MailboxID]*box  // as recorded
	tally  map[mail.MailboxID]*box  // as counted
	emails map[mail.EmailID]*places // as entries have them
	bodies map[blob.Sum]int64       // emails by body
	whole  map[blob.Sum]record      // one record of each body
	rests  map[mail.EmailID]int     // values that a record has besides its first
	gone   mail.ByteCount
	faults []error
}

func (c *check) wrong(format string, args ...any) {
	if len(c.faults) < 100 {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

// rows goes through the rows under a prefix.
func (c *check) rows(prefix byte, keyLen int, fn func(kv.Item) error) error {
	for it, err := range c.r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != keyLen {
			c.wrong("key %x", it.Key)
			continue
		}
		if err := fn(it); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) readBoxes() error {
	all, err := readAllBoxes(c.r)
	names := make(map[string]bool)
	for _, m := range all {
		c.boxes[m.ID], c.tally[m.ID] = m, &box{}
		if m.ID > c.h.mailbox || m.UIDValidity > c.h.validity || m.HighestModSeq > c.h.modseq {
			c.wrong("mailbox %v is ahead of its account", m.ID)
		}
		if m.removed != 0 {
			continue
		}
		if names[m.Name] {
			c.wrong("two mailboxes are called %q", m.Name)
		}
		names[m.Name] = true
	}
	for name := range names {
		for _, parent := range parents(name) {
			if !names[parent] {
				c.wrong("mailbox %q has nothing above it", name)
			}
		}
	}
	return err
}

func (c *check) email(id mail.EmailID) *places {
	p := c.emails[id]
	if p == nil {
		p = new(places)
		c.emails[id] = p
	}
	return p
}

func (c *check) readEntries() error {
	return c.rows(keys.Entry, 9, func(it kv.Item) error {
		id, uid := mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		r, err := decodeRow(uid, it.Value)
		if err != nil {
			return err
		}
		m := c.boxes[id]
		if m == nil {
			c.wrong("entry %d is in mailbox %v, which is none", uid, id)
			return nil
		}
		if uid >= m.UIDNext || r.ModSeq > m.HighestModSeq {
			c.wrong("entry %d is ahead of mailbox %v", uid, id)
		}
		for _, n := range wordNumbers(r.words) {
			if int64(n) >= c.h.keywords {
				c.wrong("entry %d of mailbox %v has keyword %d, which is none", uid, id, n)
			}
		}
		c.tally[id].count(&r.Entry, 1)
		p := c.email(r.Email)
		p.at = append(p.at, place{id, uid})
		return nil
	})
}

func (c *check) readGone() error {
	return c.rows(keys.Gone, 17, func(it kv.Item) error {
		g, err := decodeGone(it)
		if err != nil {
			return err
		}
		c.email(g.row.Email).gone++
		c.gone += mail.ByteCount(g.row.Size)
		return nil
	})
}

func (c *check) readEmails() error {
	seen := 0
	err := c.rows(keys.Message, 9, func(it kv.Item) error {
		id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:]))
		record, err := decodeRecord(id, it.Value)
		if err != nil {
			return err
		}
		if record.rest > 0 {
			c.rests[id] = restParts(record.rest)
		}
		whole, err := record.complete(c.r, id)
		if err == nil {
			_, err = message.Decode(whole)
		}
		if err != nil {
			c.wrong("message %v: %v", id, err)
		}
		record.prefix, record.message = nil, nil
		c.bodies[record.sum]++
		c.whole[record.sum] = record
		got, err := c.r.Get(appendPlacesKey(nil, id))
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if errors.Is(err, kv.ErrNotFound) {
			got = nil
		}
		p, err := decodePlaces(got, record.home)
		if err != nil {
			return err
		}
		have := c.emails[id]
		if have == nil {
			c.wrong("message %v is nowhere", id)
			return nil
		}
		seen++
		if !samePlaces(p, *have) {
			c.wrong("message %v should be at %v, and is at %v", id, p, *have)
		}
		if record.thread != mail.ThreadID(id) {
			if _, err := c.r.Get(appendThreadKey(nil, record.thread, id)); err != nil {
				c.wrong("message %v of thread %v: %v", id, record.thread, err)
			}
		}
		return nil
	})
	if seen != len(c.emails) {
		c.wrong("entries have %d messages, of which %d exist", len(c.emails), seen)
	}
	return err
}

// readRests looks for what is left of records that are gone.
func (c *check) readRests() error {
	return c.rows(keys.Rest, 10, func(it kv.Item) error {
		if id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:])); int(it.Key[9]) >= c.rests[id] {
			c.wrong("message %v does not have part %d", id, it.Key[9])
		}
		return nil
	})
}

func samePlaces(a, b places) bool {
	if a.gone != b.gone || len(a.at) != len(b.at) {
		return false
	}
	have := make(map[place]bool)
	for _, at := range a.at {
		have[at] = true
	}
	for _, at := range b.at {
		if !have[at] {
			return false
		}
	}
	return true
}

func (c *check) readBodies() error {
	chunk := make(map[blob.Sum]int)
	octets := make(map[blob.Sum]mail.ByteCount)
	err := c.rows(keys.Body, 34, func(it kv.Item) error {
		sum := blob.Sum(it.Key[1:33])
		if int(it.Key[33]) != chunk[sum] {
			c.wrong("body %v lacks chunk %d", sum, chunk[sum])
		}
		chunk[sum]++
		octets[sum] += mail.ByteCount(len(it.Value) - 1)
		return nil
	})
	if err != nil {
		return err
	}
	refs := make(map[blob.Sum]int64)
	err = c.rows(keys.Refs, 33, func(it kv.Item) (err error) {
		refs[blob.Sum(it.Key[1:])], err = decodeRefs(it.Value)
		return err
	})
	for sum, n := range c.bodies {
		record := c.whole[sum]
		counted := refs[sum]
		if counted == 0 && record.where == bodyInline {
			counted = 1
		}
		delete(refs, sum)
		if counted != n {
			c.wrong("body %v counts %d messages and has %d", sum, counted, n)
		}
		if record.where == bodyInline && (octets[sum] != record.body || chunk[sum] == 0) {
			c.wrong("body %v has %d octets, not %d", sum, octets[sum], record.body)
		}
		delete(chunk, sum)
	}
	for sum := range chunk {
		c.wrong("body %v belongs to no message", sum)
	}
	for sum := range refs {
		c.wrong("references of %v belong to no message", sum)
	}
	return err
}

func (c *check) readChanges() error {
	last := c.h.forgotten
	for change, err := range changesIn(c.r, c.h.forgotten, 0) {
		if err != nil {
			return err
		}
		if change.ModSeq != last+1 {
			c.wrong("change %d follows %d", change.ModSeq, last)
		}
		last = change.ModSeq
	}
	if last != c.h.modseq {
		c.wrong("the last change is %d, not %d", last, c.h.modseq)
	}
	return nil
}

// compare checks the totals.
func (c *check) compare() {
	var bytes mail.ByteCount
	var messages, boxes int64
	for id, m := range c.boxes {
		n := c.tally[id]
		if m.Messages != n.Messages || m.Unseen != n.Unseen || m.Deleted != n.Deleted || m.Size != n.Size {
			c.wrong("mailbox %v counts %d messages, %d unseen, %d deleted, %d octets and has %d, %d, %d, %d", id,
				m.Messages, m.Unseen, m.Deleted, m.Size, n.Messages, n.Unseen, n.Deleted, n.Size)
		}
		if m.removed != 0 {
			c.gone += n.Size
			continue
		}
		boxes++
		bytes += n.Size
		messages += int64(n.Messages)
	}
	if c.h.boxes != boxes || c.h.bytes != bytes || c.h.messages != messages || c.h.goneBytes != c.gone {
		c.wrong("account counts %d mailboxes, %d messages, %d octets, %d gone and has %d, %d, %d, %d",
			c.h.boxes, c.h.messages, c.h.bytes, c.h.goneBytes, boxes, messages, bytes, c.gone)
	}
}
