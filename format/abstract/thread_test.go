package abstract

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"waxwing/format/message"
)

// itemOf makes an item of a header.
func itemOf(t testing.TB, place int, lines ...string) Item {
	t.Helper()
	m, err := message.Parse(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	row := Make(m)
	if err := row.Check(); err != nil {
		t.Fatal(err)
	}
	return Item{Place: int32(place), Internal: int64(place), Row: row}
}

// show writes threads as THREAD does.
func show(list []*Node) string {
	var b strings.Builder
	var row func(n *Node)
	row = func(n *Node) {
		if n.Place >= 0 {
			b.WriteString(strconv.Itoa(int(n.Place)))
		}
		switch {
		case len(n.Children) == 1:
			b.WriteByte(' ')
			row(n.Children[0])
		case len(n.Children) > 1:
			if n.Place >= 0 {
				b.WriteByte(' ')
			}
			for _, c := range n.Children {
				b.WriteByte('(')
				row(c)
				b.WriteByte(')')
			}
		}
	}
	for _, n := range list {
		b.WriteByte('(')
		row(n)
		b.WriteByte(')')
	}
	return b.String()
}

// naive is REFERENCES by the letter of RFC 5256 §3, with pointers and without
// haste.
type naive struct {
	item     *Item
	parent   *naive
	children []*naive
}

func (n *naive) isBelow(top *naive) bool {
	for ; n != nil; n = n.parent {
		if n == top {
			return true
		}
	}
	return false
}

func (n *naive) setParent(p *naive) {
	if n.parent != nil {
		i := slices.Index(n.parent.children, n)
		n.parent.children = slices.Delete(n.parent.children, i, i+1)
	}
	if n.parent = p; p != nil {
		p.children = append(p.children, n)
	}
}

func (n *naive) sent() (int64, int32) {
	if n.item == nil {
		return n.children[0].sent()
	}
	return n.item.Sent(), n.item.Place
}

func sortNaive(list []*naive) {
	slices.SortStableFunc(list, func(a, b *naive) int {
		at, ap := a.sent()
		bt, bp := b.sent()
		if at != bt {
			return int(min(max(at-bt, -1), 1))
		}
		return int(ap - bp)
	})
}

func prune(list []*naive, top bool) []*naive {
	var out []*naive
	for _, n := range list {
		n.children = prune(n.children, false)
		switch {
		case n.item != nil:
			out = append(out, n)
		case len(n.children) == 0:
		case !top || len(n.children) == 1:
			out = append(out, n.children...)
		default:
			out = append(out, n)
		}
	}
	return out
}

func sortAllNaive(list []*naive) {
	for _, n := range list {
		sortAllNaive(n.children)
	}
	sortNaive(list)
}

func referencesNaive(items []Item) []*naive {
	byID := map[uint64]*naive{}
	own := make([]*naive, len(items))
	var all []*naive
	for i := range items {
		own[i] = &naive{item: &items[i]}
		all = append(all, own[i])
		if id := items[i].Row.ID(); id != 0 && byID[id] == nil {
			byID[id] = own[i]
		}
	}
	for i := range items {
		var last *naive
		for k := range items[i].Row.References() {
			id := items[i].Row.Reference(k)
			n := byID[id]
			if n == nil {
				n = &naive{}
				byID[id] = n
				all = append(all, n)
			}
			if last != nil && n.parent == nil && !last.isBelow(n) {
				n.setParent(last)
			}
			last = n
		}
		own[i].setParent(nil)
		if last != nil && !last.isBelow(own[i]) {
			own[i].setParent(last)
		}
	}
	var roots []*naive
	for _, n := range all {
		if n.parent == nil {
			roots = append(roots, n)
		}
	}
	roots = prune(roots, true)
	for _, r := range roots { // 4
		if r.item == nil {
			sortNaive(r.children)
		}
	}
	sortNaive(roots)
	row := func(n *naive) Row { // 5
		if n.item == nil {
			n = n.children[0]
		}
		return n.item.Row
	}
	reply := func(n *naive) bool { return n.item != nil && n.item.Row.Reply() }
	table := map[string]*naive{}
	for _, n := range roots {
		s := string(row(n).Base())
		had := table[s]
		if s == "" || had != nil && !(had.item != nil && (n.item == nil || reply(had) && !reply(n))) {
			continue
		}
		table[s] = n
	}
	var merged []*naive
	replaced := map[*naive]bool{}
	for _, n := range roots {
		s := string(row(n).Base())
		had := table[s]
		switch {
		case s == "" || had == n:
			merged = append(merged, n)
		case had.item == nil && n.item == nil:
			had.children = append(had.children, n.children...)
		case had.item == nil, reply(n) && !reply(had):
			had.children = append(had.children, n)
		default:
			dummy := &naive{children: []*naive{n, had}}
			replaced[had] = true
			table[s] = dummy
			merged = append(merged, dummy)
		}
	}
	roots = slices.DeleteFunc(merged, func(n *naive) bool { return replaced[n] })
	sortAllNaive(roots)
	return roots
}

func nodesOf(list []*naive) []*Node {
	var out []*Node
	for _, n := range list {
		m := &Node{Place: -1, Children: nodesOf(n.children)}
		if n.item != nil {
			m.Place = n.item.Place
		}
		out = append(out, m)
	}
	return out
}

// Threading fast comes to what threading by the letter comes to.
func TestThreadAsWritten(t *testing.T) {
	subjects := []string{"tea", "Re: tea", "milk", "Fwd: milk", "Re: Re: milk (fwd)", "", "coffee", "re: coffee"}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		var items []Item
		n := 1 + r.IntN(14)
		for i := range n {
			lines := []string{"Subject: " + subjects[r.IntN(len(subjects))]}
			if r.IntN(8) > 0 {
				lines = append(lines, fmt.Sprintf("Message-ID: <%d@x>", r.IntN(n)))
			}
			if r.IntN(3) > 0 {
				refs := "References:"
				for range 1 + r.IntN(4) {
					refs += fmt.Sprintf(" <%d@x>", r.IntN(n+4))
				}
				lines = append(lines, refs)
			}
			if r.IntN(6) > 0 {
				lines = append(lines, fmt.Sprintf("Date: %d Jan 2023 10:00:00 +0000", 1+r.IntN(9)))
			}
			items = append(items, itemOf(t, i, lines...))
		}
		want := show(nodesOf(referencesNaive(slices.Clone(items))))
		shuffled := slices.Clone(items)
		r.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := show(Thread(shuffled, References)); got != want {
			t.Fatalf("seed %d: %s, want %s", seed, got, want)
		}
		for _, by := range []Algorithm{OrderedSubject, References, Refs} {
			var count func(list []*Node) int
			count = func(list []*Node) (n int) {
				for _, node := range list {
					if node.Place >= 0 {
						n++
					}
					n += count(node.Children)
				}
				return n
			}
			if got := count(Thread(slices.Clone(items), by)); got != n {
				t.Fatalf("seed %d: %d of %d messages are in threads", seed, got, n)
			}
		}
	}
}

// A stranger's chain of a hundred thousand answers, and one that turns on
// itself, cost no more than others.
func TestThreadDeep(t *testing.T) {
	const n = 30_000
	for _, backwards := range []bool{false, true} {
		var items []Item
		for i := range n {
			at := i
			if backwards {
				at = n - 1 - i
			}
			items = append(items, itemOf(t, i, fmt.Sprintf("Message-ID: <%d@x>", at), fmt.Sprintf("References: <%d@x> <%d@x>", (at+n-2)%n, (at+n-1)%n)))
		}
		seen := 0
		for stack := Thread(items, References); len(stack) > 0; {
			node := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], node.Children...)
			if node.Place >= 0 {
				seen++
			}
		}
		if seen != n {
			t.Errorf("%d of %d", seen, n)
		}
	}
}
