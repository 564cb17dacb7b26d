package abstract

import (
	"cmp"
	"slices"
)

// An Algorithm threads messages.
type Algorithm uint8

// The algorithms. RFC 5256 §3; Refs is draft-ietf-morg-inthread-01: References
// without a look at subjects, the thread with the newest message last.
const (
	OrderedSubject Algorithm = iota
	References
	Refs
)

// A Node is a message in a thread, with the messages below it. Place is
// negative for a message that is not among those that were threaded, and has
// been kept for the sake of more than one below it.
type Node struct {
	Place    int32
	Children []*Node
}

// Thread threads items, which it may bring into another order.
func Thread(items []Item, by Algorithm) []*Node {
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.Place, b.Place) })
	if by == OrderedSubject {
		return bySubject(items)
	}
	t := threader{items: items}
	t.link()
	t.gather()
	if by == References {
		t.mergeSubjects()
	}
	t.sortAll(by)
	return t.nodes()
}

// bySubject is ORDEREDSUBJECT: messages with one base subject are a thread, of
// which the first is the parent of all others. RFC 5256 §3
func bySubject(items []Item) []*Node {
	Sort(items, []SortKey{{Field: SortSubject}, {Field: SortDate}})
	type thread struct {
		first *Item
		node  *Node
	}
	var threads []thread
	for i := range items {
		n := &Node{Place: items[i].Place}
		if k := len(threads) - 1; k >= 0 && string(threads[k].first.text(SortSubject)) == string(items[i].text(SortSubject)) {
			threads[k].node.Children = append(threads[k].node.Children, n)
			continue
		}
		threads = append(threads, thread{&items[i], n})
	}
	slices.SortFunc(threads, func(a, b thread) int {
		return cmp.Or(cmp.Compare(a.first.Sent(), b.first.Sent()), cmp.Compare(a.first.Place, b.first.Place))
	})
	roots := make([]*Node, len(threads))
	for i := range threads {
		roots[i] = threads[i].node
	}
	return roots
}

// A threader is REFERENCES under way. Messages, and ids of messages that there
// are not, are numbered: items first.
type threader struct {
	items  []Item
	sent   []int64 // of each: rows lie all over the memory
	byID   map[uint64]int32
	parent []int32 // -1 for none
	below  []int32 // how many children
	kids   [][]int32
	roots  []int32
	sorted []sortedNode // used again
	steps  int          // that may still be gone in search of loops
}

// maxSteps bounds, for each message, how far ancestors are looked through for
// loops, on average: nobody's threads are that deep but a stranger's who wants
// them to be. What is over it is not linked.
const maxSteps = 1000

func (t *threader) isItem(n int32) bool { return int(n) < len(t.items) }

// link is step 1.
func (t *threader) link() {
	t.steps = maxSteps * (len(t.items) + 100)
	t.byID = make(map[uint64]int32, len(t.items)*2)
	t.parent, t.below = make([]int32, len(t.items)), make([]int32, len(t.items))
	t.sent = make([]int64, len(t.items))
	for i := range t.items {
		t.parent[i], t.sent[i] = -1, t.items[i].Sent()
		if r := t.items[i].Row; r != nil && r.ID() != 0 {
			if _, taken := t.byID[r.ID()]; !taken {
				t.byID[r.ID()] = int32(i)
			}
		}
	}
	for i := range t.items {
		own, last := int32(i), int32(-1)
		if r := t.items[i].Row; r != nil {
			for k := range r.References() {
				n := t.find(r.Reference(k))
				if last >= 0 && t.parent[n] < 0 && !t.within(last, n) {
					t.parent[n] = last
					t.below[last]++
				}
				last = n
			}
		}
		if p := t.parent[own]; p >= 0 {
			t.parent[own] = -1
			t.below[p]--
		}
		if last >= 0 && !t.within(last, own) {
			t.parent[own] = last
			t.below[last]++
		}
	}
}

// find gives the number of an id, which may be that of no message.
func (t *threader) find(id uint64) int32 {
	n, known := t.byID[id]
	if !known {
		n = int32(len(t.parent))
		t.byID[id] = n
		t.parent, t.below = append(t.parent, -1), append(t.below, 0)
	}
	return n
}

// within tells whether n is top, or below it.
func (t *threader) within(n, top int32) bool {
	if n == top {
		return true
	}
	if t.below[top] == 0 {
		return false
	}
	for ; n >= 0; n = t.parent[n] {
		if t.steps--; n == top || t.steps < 0 {
			return true
		}
	}
	return false
}

// gather is steps 2 and 3: roots and children, without those that stand for no
// message.
func (t *threader) gather() {
	t.kids = make([][]int32, len(t.parent), len(t.parent)+16)
	up := func(n int32) int32 { // past those that stand for no message, but for the topmost
		p := t.parent[n]
		for p >= 0 && !t.isItem(p) && t.parent[p] >= 0 {
			p = t.parent[p]
		}
		return p
	}
	known := make([]int32, len(t.parent)) // what up gives, so that no chain is climbed twice
	for i := range known {
		known[i] = -2
	}
	climb := func(n int32) int32 {
		if p := t.parent[n]; p >= 0 && known[p] != -2 && !t.isItem(p) {
			return known[p]
		}
		to := up(n)
		for p := t.parent[n]; p >= 0 && !t.isItem(p) && t.parent[p] >= 0; p = t.parent[p] {
			if known[p] != -2 {
				break
			}
			known[p] = to
		}
		return to
	}
	above, count := make([]int32, len(t.items)), make([]int32, len(t.parent))
	for i := range t.items {
		p := climb(int32(i))
		if above[i] = p; p >= 0 {
			count[p]++
		} else {
			t.roots = append(t.roots, int32(i))
		}
	}
	room := make([]int32, len(t.items)-len(t.roots)) // of all children
	for p, n := range count {
		t.kids[p], room = room[:0:n], room[n:]
	}
	for i, p := range above {
		if p >= 0 {
			t.kids[p] = append(t.kids[p], int32(i))
		}
	}
	for n := int32(len(t.items)); int(n) < len(t.parent); n++ {
		switch kids := t.kids[n]; {
		case t.parent[n] >= 0 || len(kids) == 0:
		case len(kids) == 1:
			t.roots = append(t.roots, kids[0])
		default:
			t.roots = append(t.roots, n)
		}
	}
}

// head gives the message that a top-level node is sorted by: itself, or the
// first of its children. Items are in the order of their places.
func (t *threader) head(n int32) int32 {
	for !t.isItem(n) {
		n = t.kids[n][0]
	}
	return n
}

// sort brings nodes into the order of when they were sent.
func (t *threader) sort(list []int32) {
	if len(list) < 2 {
		return
	}
	t.sorted = t.sorted[:0]
	for _, n := range list {
		head := t.head(n)
		t.sorted = append(t.sorted, sortedNode{t.sent[head], head, n})
	}
	slices.SortFunc(t.sorted, sortedNode.compare)
	for i := range list {
		list[i] = t.sorted[i].node
	}
}

// A sortedNode is a node with what it is sorted by.
type sortedNode struct {
	at         int64
	head, node int32
}

func (a sortedNode) compare(b sortedNode) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.head, b.head))
}

// mergeSubjects is steps 4 and 5.
func (t *threader) mergeSubjects() {
	for _, r := range t.roots {
		if !t.isItem(r) {
			t.sort(t.kids[r])
		}
	}
	t.sort(t.roots)
	subject := func(n int32) []byte {
		if r := t.items[t.head(n)].Row; r != nil {
			return r.Base()
		}
		return nil
	}
	reply := func(n int32) bool { return t.isItem(n) && t.items[n].Row.Reply() }
	table := make(map[string]int32, len(t.roots)) // 5.A
	for _, n := range t.roots {
		s := subject(n)
		if len(s) == 0 {
			continue
		}
		had, ok := table[string(s)]
		if !ok || t.isItem(had) && (!t.isItem(n) || reply(had) && !reply(n)) { // 5.B.iv
			table[string(s)] = n
		}
	}
	roots := t.roots[:0:0]
	merged := make(map[int32]int32) // what a new dummy has taken the place of
	for _, n := range t.roots {
		s := subject(n)
		if len(s) == 0 || table[string(s)] == n {
			roots = append(roots, n)
			continue
		}
		had := table[string(s)]
		switch {
		case !t.isItem(had) && !t.isItem(n):
			t.kids[had] = append(t.kids[had], t.kids[n]...)
		case !t.isItem(had), reply(n) && !reply(had):
			t.kids[had] = append(t.kids[had], n)
		default:
			dummy := int32(len(t.kids))
			t.kids = append(t.kids, []int32{n, had})
			merged[had] = dummy
			table[string(s)] = dummy
			roots = append(roots, dummy)
		}
	}
	// A message that has come below a dummy is no root any more.
	t.roots = slices.DeleteFunc(roots, func(n int32) bool { _, gone := merged[n]; return gone })
}

// sortAll is step 6; in Refs threads are sorted by their newest message.
func (t *threader) sortAll(by Algorithm) {
	for n := len(t.kids) - 1; n >= 0; n-- {
		if t.isItem(int32(n)) {
			t.sort(t.kids[n])
		}
	}
	for _, r := range t.roots { // dummies are there only
		if !t.isItem(r) {
			t.sort(t.kids[r])
		}
	}
	if by == References {
		t.sort(t.roots)
		return
	}
	t.sorted = t.sorted[:0]
	var stack []int32
	for _, r := range t.roots {
		latest := t.items[t.head(r)].Internal
		for stack = append(stack[:0], r); len(stack) > 0; {
			n := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], t.kids[n]...)
			if t.isItem(n) {
				latest = max(latest, t.items[n].Internal)
			}
		}
		t.sorted = append(t.sorted, sortedNode{latest, t.head(r), r})
	}
	slices.SortFunc(t.sorted, sortedNode.compare)
	for i := range t.sorted {
		t.roots[i] = t.sorted[i].node
	}
}

// nodes gives the threads.
func (t *threader) nodes() []*Node {
	all := make([]Node, len(t.kids))
	below := 0
	for _, kids := range t.kids {
		below += len(kids)
	}
	room := make([]*Node, below) // of all children
	for n := range all {
		all[n].Place = -1
		if n < len(t.items) {
			all[n].Place = t.items[n].Place
		}
		if kids := t.kids[n]; len(kids) > 0 {
			all[n].Children, room = room[:len(kids):len(kids)], room[len(kids):]
			for i, k := range kids {
				all[n].Children[i] = &all[k]
			}
		}
	}
	roots := make([]*Node, len(t.roots))
	for i, r := range t.roots {
		roots[i] = &all[r]
	}
	return roots
}
