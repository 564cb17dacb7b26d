package imapserver

import (
	"context"
	"slices"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// sort is SORT and UID SORT. RFC 5256 §3, RFC 5267 §3
func (c *conn) sort(ctx context.Context, cmd imap.Sort) (reply, error) {
	if err := c.checkTag(&cmd.Search); err != nil {
		return reply{}, err
	}
	whole := cmd.Search
	whole.Return &^= imap.ReturnMin // the first of the order is not the first of the mailbox
	r, err := c.runSearch(ctx, c.view, &whole)
	if err == nil && !r.fuzzy && slices.ContainsFunc(cmd.Keys, func(k imap.SortKey) bool { return k.Field == imap.SortRelevancy }) {
		err = errNotFuzzy
	}
	if err == nil {
		r.found, err = c.inOrder(ctx, r, cmd.Keys)
	}
	if err := c.save(r, cmd.Return, err); err != nil {
		return reply{}, err
	}
	if cmd.Extended {
		c.tellESearch(r, &cmd.Search, "")
	} else {
		c.tellSearch("SORT", r, &cmd.Search)
	}
	return reply{}, c.beginUpdates(r, &cmd.Search, cmd.Keys)
}

// inOrder sorts what was found.
func (c *conn) inOrder(ctx context.Context, r result, keys []imap.SortKey) ([]match, error) {
	for i, k := range keys {
		if k.Field == imap.SortRelevancy {
			return c.byRelevancy(ctx, r, keys[:i], k.Reverse, keys[i+1:])
		}
	}
	if len(r.found) == 0 {
		return nil, nil
	}
	var places []int
	if len(r.found) < r.view.told.Len() {
		places = placesOf(r.found)
	}
	order, err := r.view.mailbox.Order(ctx, r.view.told, places, sortKeys(keys))
	if err != nil {
		return nil, err
	}
	if places == nil {
		list := make([]match, len(order))
		for i, p := range order {
			list[i] = r.found[p]
		}
		return list, nil
	}
	at := make(map[int]match, len(r.found))
	for _, m := range r.found {
		at[m.place] = m
	}
	list := make([]match, len(order))
	for i, p := range order {
		list[i] = at[int(p)]
	}
	return list, nil
}

// byRelevancy sorts by relevancy among others: the keys before it decide
// first, those behind it last. The highest score comes first. RFC 6203 §6
func (c *conn) byRelevancy(ctx context.Context, r result, before []imap.SortKey, reverse bool, behind []imap.SortKey) ([]match, error) {
	behind = slices.DeleteFunc(slices.Clone(behind), func(k imap.SortKey) bool { return k.Field == imap.SortRelevancy })
	list, err := c.inOrder(ctx, r, behind)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b match) int {
		if reverse {
			a, b = b, a
		}
		return int(b.score - a.score)
	})
	if len(before) == 0 {
		return list, nil
	}
	// What is equal by the keys before stays as it is: a stable sort by them,
	// with what they order by taken from the messages' own order.
	ids := emailsAt(r.view, list)
	rows, err := r.view.mailbox.Abstracts(ctx, ids)
	if err != nil {
		return nil, err
	}
	items := make([]abstract.Item, len(list))
	for i, m := range list {
		e := r.view.told.At(m.place)
		items[i] = abstract.Item{Place: int32(i), Size: e.Size, Internal: e.Internal, Row: rows[i]}
	}
	abstract.Sort(items, sortKeys(before))
	sorted := make([]match, len(list))
	for i := range items {
		sorted[i] = list[items[i].Place]
	}
	return sorted, nil
}

func placesOf(list []match) []int {
	places := make([]int, len(list))
	for i, m := range list {
		places[i] = m.place
	}
	return places
}

// sortKeys gives criteria as the mailbox takes them. No criteria at all are
// the mailbox's order.
func sortKeys(keys []imap.SortKey) []abstract.SortKey {
	fields := [...]abstract.SortField{
		imap.SortArrival: abstract.SortArrival, imap.SortCc: abstract.SortCc, imap.SortDate: abstract.SortDate,
		imap.SortFrom: abstract.SortFrom, imap.SortSize: abstract.SortSize, imap.SortSubject: abstract.SortSubject,
		imap.SortTo: abstract.SortTo, imap.SortDisplayFrom: abstract.SortDisplayFrom, imap.SortDisplayTo: abstract.SortDisplayTo,
	}
	list := make([]abstract.SortKey, len(keys))
	for i, k := range keys {
		list[i] = abstract.SortKey{Field: fields[k.Field], Reverse: k.Reverse}
	}
	return list
}

func emailsAt(v *view, list []match) []mail.EmailID {
	ids := make([]mail.EmailID, len(list))
	for i, m := range list {
		ids[i] = v.told.At(m.place).Email
	}
	return ids
}
