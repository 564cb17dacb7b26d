package imapserver

import (
	"context"
	"slices"
	"sort"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// A searchContext is a search whose result the client follows: while the
// mailbox is selected, and until CANCELUPDATE, it is told what comes to the
// result and what leaves it. RFC 5267 §4.3
type searchContext struct {
	tag     string
	uid     bool
	program imap.SearchKey // with UIDs in the place of sequence numbers
	charset string
	fetch   []imap.FetchItem // what is told of new messages in the result. RFC 5465 §7
	keys    []imap.SortKey   // nil for a SEARCH, whose result is in the mailbox's order
	uids    []mail.UID       // the result as the client knows it
}

// maxContexts bounds the results that one session follows.
const maxContexts = 16

// context gives the search that a tag has begun to follow; nil if none.
func (v *view) context(tag string) *searchContext {
	for _, x := range v.contexts {
		if x.tag == tag {
			return x
		}
	}
	return nil
}

// beginUpdates follows a result where that was asked for. keys are those of a
// SORT. RFC 5267 §4.3
func (c *conn) beginUpdates(r result, cmd *imap.Search, keys []imap.SortKey) error {
	if cmd.Return&imap.ReturnUpdate == 0 {
		return nil
	}
	relevancy := slices.ContainsFunc(keys, func(k imap.SortKey) bool { return k.Field == imap.SortRelevancy })
	if len(c.view.contexts) >= maxContexts || relevancy { // RFC 5267 §4.3.1
		c.remark("NO", noUpdate(c.tag), "Too many contexts")
		return nil
	}
	x := &searchContext{tag: c.tag, uid: cmd.UID, charset: cmd.Charset, fetch: cmd.Fetch, keys: keys, uids: uidsOf(r.found)}
	var err error
	if x.program, err = c.view.fixed(cmd.Program); err == nil {
		c.view.contexts = append(c.view.contexts, x)
	}
	return err
}

// followByUID has all results told of by UID from now on. RFC 9586 §3
func (v *view) followByUID() {
	for _, x := range v.contexts {
		x.uid = true
	}
}

// noUpdate is the response code for a result that is not followed. RFC 5267 §4.3.1
func noUpdate(tag string) string { return "NOUPDATE " + string(imap.AppendString(nil, tag, false)) }

// fixed gives a program with UIDs in the place of sequence numbers and of "$":
// they mean what they meant when the command came. RFC 5267 §4.3
func (v *view) fixed(k imap.SearchKey) (imap.SearchKey, error) {
	if k.Op == imap.SearchSeqs || k.Op == imap.SearchUIDs && k.Set.Saved {
		var spans []span
		if k.Set.Saved {
			spans = v.places(v.saved)
		} else {
			spans = v.within(k.Set)
		}
		if k = (imap.SearchKey{Op: imap.SearchUIDs}); len(spans) == 0 {
			return imap.SearchKey{Op: imap.SearchNot, Keys: []imap.SearchKey{{Op: imap.SearchAll}}}, nil
		}
		for _, s := range spans {
			first := v.told.At(s.from).UID
			last := first
			for _, e := range entries(v.told, s) {
				if e.UID > last+1 {
					k.Set.Ranges = append(k.Set.Ranges, imap.Range{From: uint32(first), To: uint32(last)})
					first = e.UID
				}
				last = e.UID
			}
			k.Set.Ranges = append(k.Set.Ranges, imap.Range{From: uint32(first), To: uint32(last)})
		}
		return k, nil
	}
	k.Keys = slices.Clone(k.Keys)
	for i := range k.Keys {
		var err error
		if k.Keys[i], err = v.fixed(k.Keys[i]); err != nil {
			return k, err
		}
	}
	return k, nil
}

func uidsOf(found []match) []mail.UID {
	uids := make([]mail.UID, len(found))
	for i, m := range found {
		uids[i] = m.uid
	}
	return uids
}

// cancelUpdate is CANCELUPDATE. RFC 5267 §4.3.5
func (c *conn) cancelUpdate(_ context.Context, cmd imap.CancelUpdate) (reply, error) {
	for _, tag := range cmd.Tags {
		if c.view.context(tag) == nil {
			return reply{}, &imap.SyntaxError{Text: "No search of that tag is followed"}
		}
	}
	c.view.contexts = slices.DeleteFunc(c.view.contexts, func(x *searchContext) bool { return slices.Contains(cmd.Tags, x.tag) })
	return reply{}, nil
}

// leaveContexts tells of messages that leave results because they are gone;
// before the client is told that they are, since their numbers must still
// hold. RFC 5267 §4.3.4
func (c *conn) leaveContexts(gone []mail.UID) {
	for _, x := range c.view.contexts {
		c.dropFrom(x, func(uid mail.UID) bool {
			_, found := slices.BinarySearch(gone, uid)
			return found
		})
	}
}

// dropFrom removes messages from a result and says so.
func (c *conn) dropFrom(x *searchContext, leaves func(mail.UID) bool) {
	var items []update
	for i := len(x.uids) - 1; i >= 0; i-- { // from the end, so that positions hold
		if leaves(x.uids[i]) {
			items = append(items, update{x.position(i), x.uids[i]})
		}
	}
	x.uids = slices.DeleteFunc(x.uids, leaves)
	if x.keys == nil {
		slices.Reverse(items)
	}
	c.tellUpdate(x, "REMOVEFROM", items)
}

// An update is one message that comes or leaves, with its place in the result
// from 1.
type update struct {
	position int
	uid      mail.UID
}

// position gives a context-position: zero where the client knows the order by
// itself.
func (x *searchContext) position(i int) int {
	if x.keys == nil {
		return 0
	}
	return i + 1
}

// tellUpdate writes an ADDTO or a REMOVEFROM. RFC 5267 §4.3.2
func (c *conn) tellUpdate(x *searchContext, word string, items []update) {
	if len(items) == 0 {
		return
	}
	c.out.begin()
	b := append(c.out.b, "* ESEARCH (TAG "...)
	b = append(imap.AppendString(b, x.tag, false), ')')
	if x.uid {
		b = append(b, " UID"...)
	}
	b = append(append(append(b, ' '), word...), " ("...)
	for i := 0; i < len(items); {
		n := 1
		for i+n < len(items) && items[i+n].position == items[i].position && items[i].position == 0 {
			n++
		}
		var list []match
		for _, u := range items[i : i+n] {
			place, _ := c.view.told.Find(u.uid)
			list = append(list, match{place: place, uid: u.uid})
		}
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(appendUint(b, uint64(items[i].position)), ' ')
		b = appendMatches(b, list, x.uid)
		i += n
	}
	c.out.b = append(b, ")\r\n"...)
	_ = c.out.room() // the failure sticks
}

// updateContexts tells how results change by messages that have come or
// changed, after the client has heard of the messages themselves.
// RFC 5267 §4.3.3
func (c *conn) updateContexts(ctx context.Context, d *Delta) error {
	v := c.view
	if len(v.contexts) == 0 {
		return nil
	}
	var uids []mail.UID
	for _, list := range [...][]Entry{d.Added, d.Changed} {
		for i := range list {
			uids = append(uids, list[i].UID)
		}
	}
	slices.Sort(uids)
	spans := v.places(uids)
	for _, x := range slices.Clone(v.contexts) {
		s, err := c.newSearcher(ctx, v, &x.program, x.charset)
		var found []match
		if err == nil {
			found, err = s.run(spans, false)
		}
		if err == nil {
			err = c.update(ctx, x, uids, found)
		}
		if fatal(err) {
			return err
		}
		if err != nil { // it cannot be followed any longer: the client hears that
			c.remark("NO", noUpdate(x.tag), "Result cannot be followed")
			v.contexts = slices.DeleteFunc(v.contexts, func(other *searchContext) bool { return other == x })
		}
	}
	return nil
}

// update brings one result up to date: of uids, those found are in it now.
func (c *conn) update(ctx context.Context, x *searchContext, uids []mail.UID, found []match) error {
	had := make(map[mail.UID]bool, len(x.uids))
	for _, uid := range x.uids {
		had[uid] = true
	}
	in := make(map[mail.UID]bool, len(found))
	var come []mail.UID
	for _, m := range found {
		in[m.uid] = true
		if !had[m.uid] {
			come = append(come, m.uid)
		}
	}
	c.dropFrom(x, func(uid mail.UID) bool {
		_, asked := slices.BinarySearch(uids, uid)
		return asked && !in[uid]
	})
	if len(come) == 0 {
		return nil
	}
	if x.keys == nil {
		var items []update
		for _, uid := range come {
			i := sort.Search(len(x.uids), func(i int) bool { return x.uids[i] >= uid })
			x.uids = slices.Insert(x.uids, i, uid)
			items = append(items, update{0, uid})
		}
		c.tellUpdate(x, "ADDTO", items)
		return nil
	}
	all := append(slices.Clone(x.uids), come...)
	slices.Sort(all)
	var list []match
	for _, uid := range all {
		if place, there := c.view.told.Find(uid); there {
			list = append(list, match{place: place, uid: uid})
		}
	}
	ordered, err := c.inOrder(ctx, result{view: c.view, found: list}, x.keys)
	if err != nil {
		return err
	}
	var items []update
	x.uids = x.uids[:0]
	for i, m := range ordered { // from the beginning, so that positions hold
		x.uids = append(x.uids, m.uid)
		if slices.Contains(come, m.uid) {
			items = append(items, update{i + 1, m.uid})
		}
	}
	c.tellUpdate(x, "ADDTO", items)
	return nil
}
