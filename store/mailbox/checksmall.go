package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// checkThreads lays emails and the rows of threads side by side, and looks at
// what message ids lead to.
func (c *check) checkThreads() error {
	members := make([]emailSpot, 0, len(c.emails))
	for _, e := range c.emails {
		if e.thread != mail.ThreadID(e.id) {
			members = append(members, e)
		}
	}
	order := func(x, y emailSpot) int { return cmp.Or(cmp.Compare(x.thread, y.thread), cmp.Compare(x.id, y.id)) }
	slices.SortFunc(members, order)
	missing := func(e emailSpot) {
		c.wrong(fmt.Sprint("thread", e.id), c.a.putThread(e), "the conversation is shown without it", "puts it back",
			"message %v is missing in its conversation %v", e.id, e.thread)
	}
	err := c.rows(keys.Thread, 17, "conversations", true, func(it kv.Item) error {
		e := emailSpot{mail.EmailID(binary.BigEndian.Uint64(it.Key[9:])), mail.ThreadID(binary.BigEndian.Uint64(it.Key[1:]))}
		for len(members) > 0 && order(members[0], e) < 0 {
			missing(members[0])
			members = members[1:]
		}
		if len(members) > 0 && members[0] == e {
			members = members[1:]
			return nil
		}
		if c.keys[fmt.Sprint("email", e.id)] {
			return nil
		}
		key := slices.Clone(it.Key)
		c.wrong(string(key), c.a.dropKey(key), "the conversation is shown with a message that is not there", "takes it out",
			"conversation %v names message %v, which is not of it", e.thread, e.id)
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range members {
		missing(e)
	}
	return c.rows(keys.Mention, 17, "message ids", false, func(it kv.Item) error {
		m, err := decodeMention(it.Value)
		e, ok := c.has(m.email)
		if err == nil && ok && e.thread == m.thread || c.keys[fmt.Sprint("email", m.email)] {
			return nil
		}
		key := slices.Clone(it.Key)
		c.wrong(string(key), c.a.dropKey(key), "an answer may join the wrong conversation", "forgets it; later answers begin a new conversation",
			"a message id leads to conversation %v and message %v, which do not belong together", m.thread, m.email)
		return nil
	})
}

func (c *check) checkChanges() error {
	const means = "mail programs that were away since then may miss what has happened"
	const repair = "cuts the log off there, so that they read their mailboxes afresh; restoring to a time before it is no longer possible"
	last, bad := c.head.forgotten, false
	var top mail.ModSeq
	err := c.rows(keys.Change, 10, "changes", false, func(it kv.Item) error {
		m := mail.ModSeq(binary.BigEndian.Uint64(it.Key[1:]))
		top = max(top, m)
		ch := Change{ModSeq: m}
		switch err := decodeChange(&ch, it.Value); {
		case err != nil:
			bad = true
			c.wrong("log", c.a.cutLog, means, repair, "change %d cannot be read", m)
		case m == last && last > c.head.forgotten:
			return nil // another part
		case m != last+1 && m <= c.head.modseq:
			bad = true
			c.wrong("log", c.a.cutLog, means, repair, "the log of changes has a gap: change %d follows %d", m, last)
		}
		last = m
		return nil
	})
	switch {
	case err != nil || bad:
	case top > c.head.modseq:
		c.wrong("log", c.a.cutLog, means, repair, "the log of changes goes to %d, and the account to %d", top, c.head.modseq)
	case last != c.head.modseq:
		c.wrong("log", c.a.cutLog, means, repair, "the log of changes ends at %d, and the account's last change is %d", last, c.head.modseq)
	}
	return err
}

func (c *check) checkKeywords() error {
	next := int64(0)
	missing := func(n int64) {
		c.wrong(fmt.Sprint("word", n), c.a.putKeyword(n), "no mailbox of the account can be opened", "calls it "+lostKeyword(n), "the name of keyword %d is missing", n)
	}
	err := c.rows(keys.Keyword, 5, "keywords", false, func(it kv.Item) error {
		n := int64(binary.BigEndian.Uint32(it.Key[1:]))
		for ; next < min(n, c.head.keywords, next+int64(c.a.store.o.MaxKeywords)); next++ {
			missing(next)
		}
		next = n + 1
		if len(it.Value) < 2 || it.Value[0] != rowFormat {
			missing(n)
		}
		if n >= c.head.keywords {
			c.wrong("ahead", c.a.raiseHead, "a new keyword could get the number of an old one", "raises the account's counters",
				"there is a keyword %d, and the account says that it has %d", n, c.head.keywords)
		}
		return nil
	})
	if most := next + int64(c.a.store.o.MaxKeywords); err == nil && (c.head.keywords > most || c.head.keywords < 0) {
		c.wrong("words", c.a.lowerKeywords, "no mailbox of the account can be opened", "goes by those that there are",
			"the account says that it has %d keywords, and there are %d", c.head.keywords, next)
		return nil
	}
	for ; err == nil && next < c.head.keywords; next++ {
		missing(next)
	}
	return err
}

// lostKeyword is the name of a keyword whose name is lost.
func lostKeyword(n int64) string { return fmt.Sprintf("lost-keyword-%d", n) }

// checkSmall looks at everything of which there is little.
func (c *check) checkSmall() error {
	subscribed := make(map[string]bool)
	err := c.rows(keys.Subscr, 17, "subscriptions", false, func(it kv.Item) error {
		if len(it.Value) < 2 || it.Value[0] != rowFormat || string(appendSubscriptionKey(nil, string(it.Value[1:]))) != string(it.Key) {
			key := slices.Clone(it.Key)
			c.wrong(string(key), c.a.dropKey(key), "mail programs cannot list subscriptions", "removes it", "a subscription cannot be read")
			return nil
		}
		subscribed[string(it.Value[1:])] = true
		return nil
	})
	if err != nil {
		return err
	}
	for id, m := range c.boxes {
		if m != nil && m.removed == 0 && m.Subscribed != subscribed[m.Name] {
			c.wrong(fmt.Sprint("subscribed", id), c.a.resubscribe(id), "some mail programs hide it, or show it", "goes by the list of subscriptions",
				"mailbox %q is subscribed by its record or by the list of subscriptions, but not by both", m.Name)
		}
	}
	pending, notes := int64(0), mail.ByteCount(0)
	for _, table := range []struct {
		prefix byte
		length int
		what   string
		read   func(it kv.Item) error
	}{
		{keys.Token, 25, "tokens of delivery", func(it kv.Item) error { _, err := decodeToken(it.Value); return err }},
		{keys.Release, 33, "texts to be deleted", func(it kv.Item) error { _, err := decodeRelease(it.Value); return err }},
		{keys.Tidy, 1, "who purges", func(it kv.Item) error { _, err := decodeLease(it.Value); return err }},
		{keys.Doomed, 9, "messages to be expunged", func(it kv.Item) error {
			if len(it.Value) < 1 || it.Value[0] != rowFormat {
				return errCorrupt
			}
			return nil
		}},
		{keys.ACL, 5, "lists of rights", func(it kv.Item) error { _, err := decodeACL(it.Value); return err }},
		{keys.Annotation, notedKeyLen, "annotations", func(it kv.Item) error {
			notes += mail.ByteCount(len(it.Value))
			_, err := decodeAnnotation(it.Value)
			return err
		}},
		{keys.AccessKey, 13, "keys of URLs", func(it kv.Item) error { _, err := decodeAccessKey(it.Value); return err }},
		{keys.Sharer, 9, "accounts that share mailboxes", func(it kv.Item) error {
			if len(it.Value) < 1 || it.Value[0] != rowFormat {
				return errCorrupt
			}
			return nil
		}},
		{keys.Origin, 0, "imported messages", func(it kv.Item) error { _, err := decodeImported(it.Value); return err }},
		{keys.Pending, 5, "copies under way", func(it kv.Item) error {
			_, err := decodeMark(it.Value)
			if err == nil {
				pending++
			}
			return err
		}},
	} {
		err := c.rows(table.prefix, table.length, table.what, false, func(it kv.Item) error {
			if table.read(it) != nil {
				key := slices.Clone(it.Key)
				c.wrong(string(key), c.a.dropKey(key), "purging, delivery or sharing may stop there", "forgets it", "a row of %s cannot be read", table.what)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if notes != c.head.notes {
		c.wrong("totals", c.a.recountAll, "annotations may be refused", "counts again", "the account says that its annotations have %d octets, and they have %d", c.head.notes, notes)
	}
	if pending != c.head.pending {
		c.wrong("totals", c.a.recountAll, "large copies may be refused", "counts again", "the account says that %d copies are under way, and there are %d", c.head.pending, pending)
	}
	return nil
}
