package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// checkEmails goes through the records, with their places, a page at a time.
func (c *check) checkEmails() error {
	slices.SortFunc(c.entries, func(x, y spot) int {
		return cmp.Or(cmp.Compare(x.email, y.email), cmp.Compare(x.at.Mailbox, y.at.Mailbox), cmp.Compare(x.at.UID, y.at.UID))
	})
	slices.SortFunc(c.gone, func(x, y goneSpot) int { return cmp.Compare(x.email, y.email) })
	from, end := []byte{keys.Message}, []byte{keys.Message + 1}
	for {
		page := make([]kv.Item, 0, checkPage)
		for it, err := range c.r.Scan(from, end, kv.ScanOptions{Limit: checkPage}) {
			if err != nil {
				return err
			}
			page = append(page, kv.Item{Key: slices.Clone(it.Key), Value: slices.Clone(it.Value)})
		}
		if err := c.checkRecords(page); err != nil {
			return err
		}
		if c.o.Progress != nil {
			c.o.Progress(len(c.emails), max(len(c.entries), len(c.emails)))
		}
		if len(page) < checkPage {
			return c.ctx.Err()
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		from = append(page[len(page)-1].Key, 0)
	}
}

func (c *check) checkRecords(page []kv.Item) error {
	want := make([][]byte, 0, len(page))
	for _, it := range page {
		want = append(want, append([]byte{keys.Places}, it.Key[1:]...))
	}
	got, err := c.r.GetMany(want)
	if err != nil {
		return err
	}
	for i, it := range page {
		if len(it.Key) != 9 {
			c.wrong(string(it.Key), c.a.dropKey(it.Key), "nobody can make anything of it", "removes it", "a row of messages has the key %x, which is none", it.Key)
			continue
		}
		id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:]))
		if err := c.checkRecord(id, it.Value, got[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) checkRecord(id mail.EmailID, value, spots []byte) error {
	r, err := decodeRecord(id, value)
	if err != nil {
		c.wrong(fmt.Sprint("email", id), c.a.dropRecord(id), "mail programs cannot read it",
			"gives it up; its text, if that can be found, is put into "+DamagedName, "what is known of message %v cannot be read%s", id, c.whereabouts(id))
		return nil
	}
	c.emails = append(c.emails, emailSpot{id, r.thread})
	if id > c.head.email {
		c.wrong("ahead", c.a.raiseHead, "a new message could get the id of an old one", "raises the account's counters",
			"message %v has a number that the account has not given yet", id)
	}
	whole, err := r.complete(c.r, id)
	if err == nil {
		_, err = message.Decode(whole)
	}
	if err != nil {
		c.wrong(fmt.Sprint("facts", id), c.a.reparse(id), "lists show nothing of it", "reads the message again",
			"what was found out about message %v cannot be read%s", id, c.whereabouts(id))
	}
	c.bodies = append(c.bodies, bodySpot{r.sum, id, uint32(min(r.body, 1<<32-1)), r.where})
	have, gone := c.spotsOf(id), len(c.goneOf(id))
	for _, s := range have {
		if mail.ByteCount(s.size) != min(r.size(), 1<<32-1) {
			c.wrong(fmt.Sprint("size", s.at), c.a.resize(s.at, r.size()), "counts of octets are wrong", "writes down the right size",
				"message %d of mailbox %s says %d octets, and has %d", s.at.UID, c.name(s.at.Mailbox), s.size, r.size())
		}
	}
	p, err := decodePlaces(spots, r.home)
	if err == nil && samePlaces(p, have, gone) {
		return nil
	}
	fix, what := c.a.place(id, slices.Clone(have), c.goneOf(id)), "adds up anew where it lies"
	if len(have) == 0 && gone == 0 {
		c.wrong(fmt.Sprint("places", id), fix, "nobody can see it", "puts it back, under a new UID", "message %v lies in no mailbox", id)
		return nil
	}
	c.wrong(fmt.Sprint("places", id), fix, "it could be purged too early, or never", what, "what is known of where message %v lies is not so%s", id, c.whereabouts(id))
	return nil
}

// whereabouts says where an email is to be seen.
func (c *check) whereabouts(id mail.EmailID) string {
	if s := c.spotsOf(id); len(s) > 0 {
		return fmt.Sprintf(" (message %d of mailbox %s)", s[0].at.UID, c.name(s[0].at.Mailbox))
	}
	if len(c.goneOf(id)) > 0 {
		return " (it was expunged)"
	}
	return ""
}

func samePlaces(p places, have []spot, gone int) bool {
	if p.gone != gone || len(p.at) != len(have) {
		return false
	}
	at := slices.Clone(p.at)
	slices.SortFunc(at, func(x, y place) int { return cmp.Or(cmp.Compare(x.Mailbox, y.Mailbox), cmp.Compare(x.UID, y.UID)) })
	for i := range at {
		if at[i] != have[i].at {
			return false
		}
	}
	return true
}

// checkPlaces looks for entries and rows whose emails are not there.
func (c *check) checkPlaces() error {
	for i, s := range c.entries {
		if i > 0 && c.entries[i-1].email == s.email && len(c.mends) > 0 {
			continue // the first of an email's entries tells
		}
		if _, ok := c.has(s.email); !ok && !c.keys[fmt.Sprint("email", s.email)] {
			c.wrong(fmt.Sprint("entry", s.email), c.a.giveUp(s.email, slices.Clone(c.spotsOf(s.email)), nil, "its record is missing"), "mail programs cannot read it",
				"puts a report into "+DamagedName+", and takes it out", "message %d of mailbox %s is missing", s.at.UID, c.name(s.at.Mailbox))
		}
	}
	for _, g := range c.gone {
		if _, ok := c.has(g.email); !ok && !c.keys[fmt.Sprint("email", g.email)] {
			key := slices.Clone(g.key[:])
			c.wrong(string(key), c.a.dropKey(key), "it cannot be brought back", "forgets it", "an expunged message %v is missing", g.email)
		}
	}
	err := c.rows(keys.Places, 9, "places", true, func(it kv.Item) error {
		id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:]))
		if _, ok := c.has(id); !ok && !c.keys[fmt.Sprint("email", id)] {
			key := slices.Clone(it.Key)
			c.wrong(string(key), c.a.dropKey(key), "nothing", "removes it", "there are places of message %v, and no such message", id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.rows(keys.Rest, 10, "message records", true, func(it kv.Item) error {
		id := mail.EmailID(binary.BigEndian.Uint64(it.Key[1:]))
		if _, ok := c.has(id); !ok && !c.keys[fmt.Sprint("email", id)] {
			key := slices.Clone(it.Key)
			c.wrong(string(key), c.a.dropKey(key), "nothing", "removes it", "there is a rest of message %v, and no such message", id)
		}
		return nil
	})
}

const notAsWritten = "its octets are not those that were written"

// A stored is what the engine has of a body.
type stored struct {
	sum    blob.Sum
	octets mail.ByteCount
	chunks int
	holes  bool
	spoilt bool // some octets are damaged on the disk
}

// checkBodies lays emails and small bodies side by side, by their sums.
func (c *check) checkBodies() error {
	slices.SortFunc(c.bodies, func(x, y bodySpot) int {
		return cmp.Or(bytes.Compare(x.sum[:], y.sum[:]), cmp.Compare(x.where, y.where), cmp.Compare(x.email, y.email))
	})
	refs := make(map[blob.Sum]int64) // -1 for those that cannot be read
	err := c.rows(keys.Refs, 33, "references", false, func(it kv.Item) error {
		sum := blob.Sum(it.Key[1:])
		n, err := decodeRefs(it.Value)
		if err != nil {
			n = -1
		}
		refs[sum] = n
		return nil
	})
	if err != nil {
		return err
	}
	next := 0
	var now *stored
	flush := func() {
		if now != nil {
			next = c.checkBody(*now, refs, next)
		}
		now = nil
	}
	var hash [32]byte
	var sum = sha256.New()
	end := func() {
		switch {
		case now == nil:
		case now.spoilt:
			c.damaged(now.sum, notAsWritten)
			now.octets, now.holes = -1, false
		case c.o.Deep && !now.holes:
			if sum.Sum(hash[:0]); hash != now.sum {
				c.damaged(now.sum, notAsWritten)
			}
		}
		flush()
	}
	c.spoilt = false
	err = c.rows(keys.Body, 34, "bodies", false, func(it kv.Item) error {
		id := blob.Sum(it.Key[1:33])
		if now == nil || now.sum != id {
			end()
			now = &stored{sum: id}
			sum.Reset()
		}
		if c.spoilt {
			now.spoilt, c.spoilt = true, false
		} else if int(it.Key[33]) != now.chunks || len(it.Value) < 1 || it.Value[0] != bodyFormat {
			now.holes = true
		}
		now.chunks++
		now.octets += mail.ByteCount(max(len(it.Value)-1, 0))
		if c.o.Deep && len(it.Value) > 0 {
			sum.Write(it.Value[1:])
		}
		return nil
	})
	if err != nil {
		return err
	}
	end()
	for next < len(c.bodies) { // they have no small body
		next = c.checkBody(stored{}, refs, next)
	}
	for sum := range refs {
		c.wrong("refs"+string(sum[:]), c.a.rescueRefs(sum), "a text may be there that nobody can see", "looks for the text and puts it into "+DamagedName,
			"references of body %v belong to no message", sum)
	}
	return nil
}

// checkBody checks one small body and the emails that have it, and those before
// it, which have none; it gives the first email behind them.
func (c *check) checkBody(s stored, refs map[blob.Sum]int64, next int) int {
	for next < len(c.bodies) {
		b := c.bodies[next]
		order := bytes.Compare(b.sum[:], s.sum[:])
		if s.chunks > 0 && (order > 0 || order == 0 && b.where == bodyInline) {
			break
		}
		n := next
		for n < len(c.bodies) && c.bodies[n].sum == b.sum && c.bodies[n].where == b.where {
			n++
		}
		for _, e := range c.bodies[next:n] {
			if b.where == bodyBlob {
				c.large = append(c.large, e)
			} else {
				c.lost(e.email, "its text is missing")
			}
		}
		c.countRefs(b, refs, int64(n-next))
		next = n
	}
	if s.chunks == 0 {
		return next
	}
	n := next
	for n < len(c.bodies) && s.sum == c.bodies[n].sum && c.bodies[n].where == bodyInline {
		if e := c.bodies[n]; s.octets >= 0 && mail.ByteCount(e.size) != s.octets || s.holes {
			c.lost(e.email, "its text is cut")
		}
		n++
	}
	if n == next {
		c.wrong("body"+string(s.sum[:]), c.a.rescueBody(s.sum), "a message may be lost to sight", "puts it into "+DamagedName, "a text of %d octets belongs to no message", max(s.octets, 0))
		delete(refs, s.sum)
		return n
	}
	c.countRefs(c.bodies[next], refs, int64(n-next))
	return n
}

// countRefs checks the references of a body that n emails have.
func (c *check) countRefs(b bodySpot, refs map[blob.Sum]int64, n int64) {
	said, there := refs[b.sum]
	delete(refs, b.sum)
	if there && said == n || !there && b.where == bodyInline && n == 1 {
		return
	}
	c.wrong("refs"+string(b.sum[:]), c.a.setRefs(b.sum, b.where, said, n), "it could be deleted while it is needed, or never", "counts again",
		"body %v counts %d messages, and has %d", b.sum, max(said, 0), n)
}

// damaged tells of all emails that have a body.
func (c *check) damaged(sum blob.Sum, why string) {
	i, _ := slices.BinarySearchFunc(c.bodies, sum, func(b bodySpot, sum blob.Sum) int { return bytes.Compare(b.sum[:], sum[:]) })
	for ; i < len(c.bodies) && c.bodies[i].sum == sum; i++ {
		c.lost(c.bodies[i].email, why)
	}
}

// lost tells of an email without its text.
func (c *check) lost(id mail.EmailID, why string) {
	c.wrong(fmt.Sprint("email", id), c.a.giveUp(id, slices.Clone(c.spotsOf(id)), slices.Clone(c.goneOf(id)), why), "it cannot be read",
		"puts a report with what is known of it into "+DamagedName+", and takes it out", "message %v is damaged: %s%s", id, why, c.whereabouts(id))
}

// blobs looks at the large bodies, after the snapshot: what has been purged
// since is not asked about again.
func (c *check) blobs(ctx context.Context) error {
	for i, e := range c.large {
		if i > 0 && c.large[i-1].sum == e.sum {
			continue
		}
		var r record
		err := c.a.store.db.View(ctx, c.a.part, func(kr kv.Reader) error {
			got, err := kr.GetMany([][]byte{appendRecordKey(nil, e.email)})
			if err == nil && got[0] != nil {
				r, err = decodeRecord(e.email, slices.Clone(got[0]))
			}
			return err
		})
		if err != nil {
			return err
		}
		if r.where != bodyBlob {
			continue
		}
		why, err := c.a.lookAtBlob(ctx, &r, c.o.Deep)
		if err != nil {
			return err
		}
		for k := i; why != "" && k < len(c.large) && c.large[k].sum == e.sum; k++ {
			c.lost(c.large[k].email, why)
		}
	}
	return nil
}

// lookAtBlob says what is wrong with a large body, if anything is.
func (a *Account) lookAtBlob(ctx context.Context, r *record, deep bool) (string, error) {
	b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: r.sum})
	if errors.Is(err, blob.ErrNotFound) {
		return "its text is missing from the blob store", nil
	}
	if err != nil {
		return "", err
	}
	defer b.Close()
	if b.Size() != r.body {
		return fmt.Sprintf("its text has %d octets in the blob store, not %d", b.Size(), r.body), nil
	}
	if !deep {
		return "", nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, b); err != nil && !errors.Is(err, blob.ErrCorrupt) {
		return "", err
	} else if err != nil || blob.Sum(h.Sum(nil)) != r.sum {
		return notAsWritten, nil
	}
	return "", nil
}
