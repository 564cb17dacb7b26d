package search

import (
	"context"
	"slices"
	"sort"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/store/mailbox"
)

// What has been sorted or threaded whole is kept: the next time only what has
// come since is put in its place.

type orderKey struct {
	mailbox mail.MailboxID
	keys    string
}

// An order is all of a mailbox, sorted.
type order struct {
	validity mail.UIDValidity
	uids     []mail.UID // by place
	places   []int32    // by order
}

type threadKey struct {
	mailbox mail.MailboxID
	by      abstract.Algorithm
}

// A threads is all of a mailbox, threaded.
type threads struct {
	validity mail.UIDValidity
	uids     []mail.UID
	roots    []*abstract.Node
}

// maxKept bounds the orders and the threads that are kept of an account.
const maxKept = 16

func (a *Account) keptCost() int64 {
	n := int64(0)
	for _, o := range a.orders {
		n += 8 * int64(len(o.uids))
	}
	for _, t := range a.threads {
		n += 56 * int64(len(t.uids))
	}
	for _, f := range a.finds {
		n += f.cost()
	}
	return n
}

// uidsOf gives the UIDs of a snapshot.
func uidsOf(s *mailbox.Snapshot) []mail.UID {
	uids := make([]mail.UID, 0, s.Len())
	for _, e := range s.Entries(0) {
		uids = append(uids, e.UID)
	}
	return uids
}

// hasUIDs tells whether a snapshot has just these.
func hasUIDs(s *mailbox.Snapshot, uids []mail.UID) bool {
	if s.Len() != len(uids) {
		return false
	}
	for i, e := range s.Entries(0) {
		if uids[i] != e.UID {
			return false
		}
	}
	return true
}

// items gives messages ready to be sorted or threaded.
func (a *Account) items(ctx context.Context, s *mailbox.Snapshot, places []int) ([]abstract.Item, error) {
	n := len(places)
	if places == nil {
		n = s.Len()
	}
	list := make([]abstract.Item, 0, n)
	ids := make([]mail.EmailID, 0, n)
	add := func(i int, e *mailbox.Entry) {
		list = append(list, abstract.Item{Place: int32(i), Size: e.Size, Internal: e.Internal})
		ids = append(ids, e.Email)
	}
	if places == nil {
		for i, e := range s.Entries(0) {
			add(i, &e)
		}
	}
	for _, i := range places {
		e := s.At(i)
		add(i, &e)
	}
	rows, err := a.Rows(ctx, ids)
	for i := range rows {
		list[i].Row = rows[i]
	}
	return list, err
}

func placesOf(items []abstract.Item) []int32 {
	list := make([]int32, len(items))
	for i := range items {
		list[i] = items[i].Place
	}
	return list
}

// Order gives places of a snapshot in the order of keys: those of places, which
// are ascending, or all where that is nil. What it gives must not be changed.
// RFC 5256 §3
func (a *Account) Order(ctx context.Context, s *mailbox.Snapshot, places []int, keys []abstract.SortKey) ([]int32, error) {
	var name []byte
	for _, k := range keys {
		name = append(name, byte(k.Field)<<1)
		if k.Reverse {
			name[len(name)-1]++
		}
	}
	k := orderKey{s.Info().ID, string(name)}
	a.mu.Lock()
	kept := a.orders[k]
	a.mu.Unlock()
	if kept != nil && kept.validity != s.Info().UIDValidity {
		kept = nil
	}
	if kept == nil && places != nil && len(places) < s.Len()/2 {
		items, err := a.items(ctx, s, places)
		if err != nil {
			return nil, err
		}
		abstract.Sort(items, keys)
		return placesOf(items), nil
	}
	all, err := a.wholeOrder(ctx, s, k, kept, keys)
	if err != nil || places == nil || len(places) == len(all) {
		return all, err
	}
	wanted := make([]bool, s.Len())
	for _, i := range places {
		wanted[i] = true
	}
	list := make([]int32, 0, len(places))
	for _, i := range all {
		if wanted[i] {
			list = append(list, i)
		}
	}
	return list, nil
}

// wholeOrder sorts a mailbox, with the help of how it was sorted last.
func (a *Account) wholeOrder(ctx context.Context, s *mailbox.Snapshot, k orderKey, kept *order, keys []abstract.SortKey) ([]int32, error) {
	if kept != nil && hasUIDs(s, kept.uids) {
		return kept.places, nil
	}
	uids := uidsOf(s)
	next := &order{validity: s.Info().UIDValidity, uids: uids}
	added := 0
	if kept != nil {
		next.places, added = kept.carry(uids)
	}
	if kept == nil || added > 64+len(uids)/8 {
		items, err := a.items(ctx, s, nil)
		if err != nil {
			return nil, err
		}
		abstract.Sort(items, keys)
		next.places = placesOf(items)
	} else if err := a.insert(ctx, s, next, added, keys); err != nil {
		return nil, err
	}
	a.mu.Lock()
	if len(a.orders) >= maxKept {
		clear(a.orders)
	}
	a.orders[k] = next
	cost := a.rows.cost() + a.keptCost()
	a.mu.Unlock()
	a.x.weigh(a, cost)
	return next.places, nil
}

// carry gives the order of those that are among uids still, in their new
// places; and how many have come behind them. Where others have come it says
// that all have.
func (o *order) carry(uids []mail.UID) (places []int32, added int) {
	to := make([]int32, len(o.uids))
	n := 0
	for i, uid := range o.uids {
		to[i] = -1
		if n < len(uids) && uids[n] < uid {
			return nil, len(uids)
		}
		if n < len(uids) && uids[n] == uid {
			to[i] = int32(n)
			n++
		}
	}
	places = make([]int32, 0, len(uids))
	for _, p := range o.places {
		if to[p] >= 0 {
			places = append(places, to[p])
		}
	}
	return places, len(uids) - n
}

// insert puts the last added messages of a snapshot where they belong.
func (a *Account) insert(ctx context.Context, s *mailbox.Snapshot, o *order, added int, keys []abstract.SortKey) error {
	if added == 0 {
		return nil
	}
	item := func(places ...int) ([]abstract.Item, error) {
		items, err := a.items(ctx, s, places)
		for i := range items {
			items[i].Prepare(keys)
		}
		return items, err
	}
	last := make([]int, added)
	for i := range last {
		last[i] = len(o.uids) - added + i
	}
	items, err := item(last...)
	if err != nil {
		return err
	}
	slices.SortFunc(items, func(x, y abstract.Item) int { return abstract.Compare(&x, &y, keys) })
	merged := make([]int32, 0, len(o.uids))
	rest := o.places
	for i := range items {
		at := sort.Search(len(rest), func(k int) bool {
			if err != nil {
				return true
			}
			var other []abstract.Item
			if other, err = item(int(rest[k])); err != nil {
				return true
			}
			return abstract.Compare(&other[0], &items[i], keys) > 0
		})
		if err != nil {
			return err
		}
		merged = append(append(merged, rest[:at]...), items[i].Place)
		rest = rest[at:]
	}
	o.places = append(merged, rest...)
	return nil
}

// Threads threads messages of a snapshot: those of places, which are ascending,
// or all where that is nil. What it gives must not be changed. RFC 5256 §3
func (a *Account) Threads(ctx context.Context, s *mailbox.Snapshot, places []int, by abstract.Algorithm) ([]*abstract.Node, error) {
	if places != nil && len(places) < s.Len() {
		items, err := a.items(ctx, s, places)
		if err != nil {
			return nil, err
		}
		return abstract.Thread(items, by), nil
	}
	k := threadKey{s.Info().ID, by}
	a.mu.Lock()
	kept := a.threads[k]
	a.mu.Unlock()
	if kept != nil && kept.validity == s.Info().UIDValidity && hasUIDs(s, kept.uids) {
		return kept.roots, nil
	}
	items, err := a.items(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	t := &threads{s.Info().UIDValidity, uidsOf(s), abstract.Thread(items, by)}
	a.mu.Lock()
	if len(a.threads) >= maxKept {
		clear(a.threads)
	}
	a.threads[k] = t
	cost := a.rows.cost() + a.keptCost()
	a.mu.Unlock()
	a.x.weigh(a, cost)
	return t.roots, nil
}
