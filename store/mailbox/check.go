package mailbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Checking an account goes through all its rows in order, in one snapshot, and
// lays what they say of each other side by side, sorted: entries by email,
// emails by body. That costs some ninety octets of memory for each message and
// no lookups of single rows, so that a million messages are checked in the
// time that it takes to read their records.
//
// What is wrong is told as Findings. Each carries what mends it: a transaction
// that looks again at what it is about to change, for mail goes on arriving
// while an account is checked. Mending one thing may bring another to light;
// so checking and mending take turns until there is nothing to find.

// A Finding is something that is not as it must be, in words.
type Finding struct {
	What   string // what is wrong, and where
	Means  string // what that means for whoever owns the mail
	Repair string // what repairing does
	Mended bool   // and has done
	Failed string // or why it could not
}

// Error gives what is wrong.
func (f *Finding) Error() string { return f.What }

// CheckOptions say how Check goes about it.
type CheckOptions struct {
	Deep   bool // reads all bodies and compares them with their hashes
	Repair bool // mends what can be mended

	// Progress is told from time to time how many messages of how many have
	// been looked at. May be nil.
	Progress func(done, of int)
}

const (
	maxRounds = 20   // of checking and mending, besides those that maxMends has cut short
	maxMends  = 5000 // of one round, which are kept in memory
	checkPage = 500
)

// Check checks what must hold in an account and calls found for everything
// that is wrong, in the order in which it is met; after mending it when that
// is asked for. It returns an error when it cannot check, or not to the end.
func (a *Account) Check(ctx context.Context, o CheckOptions, found func(Finding)) error {
	told := make(map[string]bool) // what could not be mended is told once
	first := true
	for round := 0; ; {
		c := check{a: a, o: o, found: found, told: told, keys: make(map[string]bool)}
		if !first {
			c.o.Progress = nil
		}
		first = false
		err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
			c.ctx, c.r = ctx, r
			kv.Spare(r, c.spared)
			return c.run()
		})
		if err == nil && c.head != nil {
			err = c.blobs(ctx)
		}
		if err != nil || !o.Repair || len(c.mends) == 0 {
			return err
		}
		mended := 0
		for _, m := range c.mends {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := m.fix(ctx)
			if err != nil {
				m.Failed = err.Error()
			} else {
				m.Mended = true
				mended++
			}
			if !told[m.What] {
				told[m.What] = !m.Mended
				found(m.Finding)
			}
		}
		a.names.Store(nil)
		if mended > 0 { // what has been made of what was wrong is made anew
			if err := a.store.dropIndex(ctx, a.id); err != nil {
				return err
			}
		}
		if len(c.mends) < maxMends {
			round++
		}
		if mended == 0 || round > maxRounds {
			return nil
		}
	}
}

// Verify checks an account and gives all that is wrong.
func (a *Account) Verify(ctx context.Context) error {
	var all []error
	err := a.Check(ctx, CheckOptions{}, func(f Finding) {
		if len(all) < 100 {
			all = append(all, &f)
		}
	})
	return errors.Join(append(all, err)...)
}

// A check is one turn through an account.
type check struct {
	a     *Account
	ctx   context.Context // of the View that runs
	r     kv.Reader
	o     CheckOptions
	head  *head // nil if it cannot be read
	found func(Finding)
	told  map[string]bool
	keys  map[string]bool // of the mends that there are
	mends []mend

	boxes   map[mail.MailboxID]*box // as recorded
	tally   map[mail.MailboxID]*box // as counted
	entries []spot                  // by email, in the end
	gone    []goneSpot              // by email, in the end
	emails  []emailSpot             // by id
	bodies  []bodySpot              // by body, in the end
	large   []bodySpot              // those in the blob store
	octets  mail.ByteCount          // of what is gone
	spoilt  bool                    // the value that was read last is damaged; see kv.Spare
}

// spared is told of values that are damaged on the disk. They are read as empty,
// and found like all others that make no sense.
func (c *check) spared([]byte, error) { c.spoilt = true }

// A mend is a finding with what mends it.
type mend struct {
	Finding
	fix func(context.Context) error
}

// A spot is an entry, as far as others know it.
type spot struct {
	email mail.EmailID
	at    place
	size  uint32
}

type goneSpot struct {
	email mail.EmailID
	key   [17]byte
}

type emailSpot struct {
	id     mail.EmailID
	thread mail.ThreadID
}

type bodySpot struct {
	sum   blob.Sum
	email mail.EmailID
	size  uint32
	where byte
}

// wrong tells of a finding. When it is to be mended that comes first; key says
// which findings one mend is good for.
func (c *check) wrong(key string, fix func(context.Context) error, means, repair, format string, args ...any) {
	f := Finding{What: fmt.Sprintf(format, args...), Means: means, Repair: repair}
	if !c.o.Repair {
		c.found(f)
		return
	}
	if c.keys[key] && key != "" || len(c.mends) >= maxMends {
		if !c.told[f.What] && len(c.mends) < maxMends { // the mend that there is will see to it
			f.Mended = true
			c.told[f.What] = true
			c.found(f)
		}
		return
	}
	c.keys[key] = true
	c.mends = append(c.mends, mend{f, fix})
}

// run goes through everything but the blob store.
func (c *check) run() error {
	got, err := c.r.GetMany([][]byte{headKey})
	if err != nil {
		return err
	}
	h, err := decodeHead(got[0])
	if err != nil {
		some := false
		for _, err := range c.r.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
			if err != nil {
				return err
			}
			some = true
		}
		if got[0] == nil && !some {
			return ErrNoAccount
		}
		c.wrong("head", c.a.rebuildHead, "nothing of the account can be read or written", "counts everything and writes it anew; the account's own quota is forgotten",
			"the account's record cannot be read")
		return nil // nothing else can be said before
	}
	c.head = &h
	for _, step := range []func() error{
		c.checkKeywords, c.checkBoxes, c.checkSheets, c.checkEntries, c.checkGone, c.checkEmails, c.checkPlaces,
		c.checkBodies, c.checkThreads, c.checkChanges, c.checkSmall, c.compare,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// rows goes through the rows under a prefix. Keys of another length, where
// there is one, are told.
func (c *check) rows(prefix byte, keyLen int, what string, keysOnly bool, fn func(kv.Item) error) error {
	for it, err := range c.r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{KeysOnly: keysOnly}) {
		if err != nil {
			return err
		}
		if keyLen != 0 && len(it.Key) != keyLen {
			key := slices.Clone(it.Key)
			c.wrong(string(key), c.a.dropKey(key), "nobody can make anything of it", "removes it", "a row of %s has the key %x, which is none", what, key)
			continue
		}
		if err := fn(it); err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) checkBoxes() error {
	c.boxes, c.tally = make(map[mail.MailboxID]*box), make(map[mail.MailboxID]*box)
	names, roles := make(map[string]*box), make(map[mail.Role]*box)
	err := c.rows(keys.Mailbox, 5, "mailboxes", false, func(it kv.Item) error {
		id := mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:]))
		m, err := decodeBox(id, it.Value)
		if err != nil {
			c.wrong(fmt.Sprint("box", id), c.a.rebuildBox(id), "mail programs do not see it, nor what is in it",
				"makes its record anew under a name of ours; mail programs read it afresh", "the record of mailbox %v cannot be read", id)
			c.boxes[id], c.tally[id] = nil, &box{}
			return nil
		}
		c.boxes[id], c.tally[id] = &m, &box{}
		if m.ID > c.head.mailbox || m.UIDValidity > c.head.validity || m.HighestModSeq > c.head.modseq {
			c.wrong("ahead", c.a.raiseHead, "a new mailbox could get the number of an old one", "raises the account's counters",
				"mailbox %q has numbers that the account has not given yet", m.Name)
		}
		if m.removed != 0 && !plausible(m.removed, time.Now()) {
			c.wrong(fmt.Sprint("removed", id), c.a.unremove(id), "it is purged too early, or never", "brings it back",
				"mailbox %q is said to have been deleted at a time that cannot be", m.Name)
		}
		if m.removed != 0 {
			return nil
		}
		if names[m.Name] != nil {
			c.wrong(fmt.Sprint("name", id), c.a.rename(id, m.Name), "mail programs see only one of them", "gives the second another name",
				"two mailboxes are called %q", m.Name)
		}
		names[m.Name] = &m
		if m.Role != mail.RoleNone {
			if other := roles[m.Role]; other != nil {
				c.wrong(fmt.Sprint("role", id), c.a.dropRole(id), "mail programs choose one of them by chance", "takes it from the second",
					"%q and %q both have the role %s", other.Name, m.Name, m.Role)
			}
			roles[m.Role] = &m
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, m := range names {
		for _, parent := range parents(name) {
			if names[parent] == nil {
				c.wrong("parent"+parent, c.a.addParent(parent), "mail programs may not show it", "adds the name above it",
					"mailbox %q has nothing above it called %q", m.Name, parent)
			}
		}
	}
	if m, known := c.boxes[Inbox]; !known || m != nil && m.removed != 0 {
		c.wrong(fmt.Sprint("box", Inbox), c.a.rebuildBox(Inbox), "no mail can be delivered", "makes it anew", "there is no INBOX")
	}
	return nil
}

// plausible tells whether a mailbox can have been deleted at a time: after 1999,
// since no program of ours is as old, and not tomorrow.
func plausible(removed int64, now time.Time) bool {
	return removed >= 946684800 && removed < now.AddDate(0, 0, 1).Unix()
}

func (c *check) checkEntries() error {
	c.entries = make([]spot, 0, min(max(c.head.messages, 0), 1<<20)) // which may be wrong itself
	var over sheets
	return c.rows(keys.Entry, 9, "entries", false, func(it kv.Item) error {
		id, uid := mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		m, known := c.boxes[id]
		if !known {
			c.boxes[id], c.tally[id] = nil, &box{}
			c.wrong(fmt.Sprint("box", id), c.a.rebuildBox(id), "nobody can read them", "makes a mailbox for them",
				"there are messages in mailbox %v, and no such mailbox", id)
		}
		if over.id != id {
			var err error
			if over, err = looseSheets(c.r, id, 0, math.MaxUint32); err != nil {
				return err
			}
		}
		r, err := decodeRow(uid, it.Value)
		if err == nil {
			err = over.lay(&r)
		}
		if err != nil {
			c.wrong(string(it.Key), c.a.dropEntry(place{id, uid}), "mail programs cannot open the mailbox",
				"takes it out; the message comes back under a new UID, without its flags", "entry %d of mailbox %s cannot be read", uid, c.name(id))
			return nil
		}
		if m != nil && (uid >= m.UIDNext || r.ModSeq > m.HighestModSeq) {
			what, means := "a UIDNEXT", "a new message could get the UID of an old one, and mail programs would show the wrong one"
			if uid < m.UIDNext {
				what, means = "a HIGHESTMODSEQ", "mail programs may miss changes"
			}
			c.wrong(fmt.Sprint("count", id), c.a.recount(id), means, "raises it", "mailbox %s has %s below its message %d", c.name(id), what, uid)
		}
		for _, n := range wordNumbers(r.words) {
			if int64(n) >= c.head.keywords {
				c.wrong(string(it.Key), c.a.dropWords(place{id, uid}), "it is not shown", "takes the keyword away",
					"message %d of mailbox %s has a keyword %d, and there is none", uid, c.name(id), n)
				break
			}
		}
		c.tally[id].count(&r.Entry, 1)
		c.entries = append(c.entries, spot{r.Email, place{id, uid}, r.Size})
		if c.o.Progress != nil && len(c.entries)%10_000 == 0 {
			c.o.Progress(0, len(c.entries))
		}
		return nil
	})
}

// name names a mailbox for people.
func (c *check) name(id mail.MailboxID) string {
	if m := c.boxes[id]; m != nil {
		return fmt.Sprintf("%q", m.Name)
	}
	return id.String()
}

func (c *check) checkGone() error {
	return c.rows(keys.Gone, 17, "expunged messages", false, func(it kv.Item) error {
		g, err := decodeGone(it)
		if err != nil {
			key := slices.Clone(it.Key)
			c.wrong(string(key), c.a.dropKey(key), "purging stops there", "forgets it; if the message lies nowhere else it is put into "+DamagedName,
				"an expunged message of mailbox %s cannot be read", c.name(mail.MailboxID(binary.BigEndian.Uint32(key[9:]))))
			return nil
		}
		c.gone = append(c.gone, goneSpot{g.row.Email, [17]byte(g.key)})
		c.octets += mail.ByteCount(g.row.Size)
		return nil
	})
}

// compare checks the totals.
func (c *check) compare() error {
	var bytes mail.ByteCount
	var messages, boxes int64
	for id, m := range c.boxes {
		if m == nil {
			continue
		}
		n := c.tally[id]
		if m.NoSelect && (n.Messages > 0 || id == Inbox) {
			c.wrong(fmt.Sprint("bare", id), c.a.onBox(id, func(_ *txn, m *box) error { m.NoSelect = false; return nil }),
				"nobody can open it", "opens it again", "mailbox %s is a bare name, and holds %s", c.name(id), plural(n.Messages, "message"))
		}
		if m.Messages != n.Messages || m.Unseen != n.Unseen || m.Deleted != n.Deleted || m.Size != n.Size {
			c.wrong(fmt.Sprint("count", id), c.a.recount(id), "mail programs show wrong numbers", "counts again",
				"mailbox %s says %d messages, %d unseen, %d deleted, %d octets, and has %d, %d, %d, %d", c.name(id),
				m.Messages, m.Unseen, m.Deleted, m.Size, n.Messages, n.Unseen, n.Deleted, n.Size)
		}
		if m.removed != 0 {
			c.octets += n.Size
			continue
		}
		boxes++
		bytes += n.Size
		messages += int64(n.Messages)
	}
	if h := c.head; h.boxes != boxes || h.bytes != bytes || h.messages != messages || h.goneBytes != c.octets {
		c.wrong("totals", c.a.recountAll, "the quota is too tight, or too wide", "counts again",
			"the account says %d mailboxes, %d messages, %d octets, %d recoverable, and has %d, %d, %d, %d",
			h.boxes, h.messages, h.bytes, h.goneBytes, boxes, messages, bytes, c.octets)
	}
	return nil
}

// spotsOf gives the entries of an email.
func (c *check) spotsOf(id mail.EmailID) []spot {
	i, _ := slices.BinarySearchFunc(c.entries, id, func(s spot, id mail.EmailID) int { return cmp.Compare(s.email, id) })
	n := i
	for n < len(c.entries) && c.entries[n].email == id {
		n++
	}
	return c.entries[i:n]
}

// goneOf gives the expunged entries of an email.
func (c *check) goneOf(id mail.EmailID) []goneSpot {
	i, _ := slices.BinarySearchFunc(c.gone, id, func(s goneSpot, id mail.EmailID) int { return cmp.Compare(s.email, id) })
	n := i
	for n < len(c.gone) && c.gone[n].email == id {
		n++
	}
	return c.gone[i:n]
}

// has tells whether there is an email.
func (c *check) has(id mail.EmailID) (emailSpot, bool) {
	i, ok := slices.BinarySearchFunc(c.emails, id, func(s emailSpot, id mail.EmailID) int { return cmp.Compare(s.id, id) })
	if !ok {
		return emailSpot{}, false
	}
	return c.emails[i], true
}
