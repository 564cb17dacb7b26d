package relay

import (
	"testing"
	"time"

	"waxwing/store/outqueue"
)

// plenty has a place for everybody.
func plenty(uint64) (*seat, string) { return &seat{}, "" }

func anybody(int) bool { return true }

func ready(id int, sender, destination uint64) outqueue.Ready {
	return outqueue.Ready{ID: outqueue.ID(id), Sender: sender, Destination: destination, Due: time.Unix(int64(id), 0)}
}

// order takes everything that can go.
func order(t *turns, reserve func(uint64) (*seat, string)) (ids []int) {
	for {
		r, ok := t.next(anybody, reserve)
		if !ok {
			return ids
		}
		ids = append(ids, int(r.ID))
	}
}

// One message passes the thousand of another sender, to the same destination
// and to others; a sender's destinations take turns.
func TestTurns(t *testing.T) {
	list := newTurns()
	for i := range 1000 {
		list.add(ready(i, 1, 7))
	}
	list.add(ready(2000, 2, 7))
	list.add(ready(2001, 1, 8))
	list.add(ready(2001, 1, 8)) // is there already
	got := order(list, plenty)
	if len(got) != 1002 || got[0] != 0 || got[1] != 2000 || got[2] != 2001 || got[3] != 1 {
		t.Errorf("%d items, %v", len(got), got[:4])
	}
}

// What is urgent comes first within a sender's flow, then what has waited
// longest.
func TestTurnsPriority(t *testing.T) {
	list := newTurns()
	for i, p := range []int8{0, -2, 3, 0, 9} {
		r := ready(i, 1, 1)
		r.Priority = p
		list.add(r)
	}
	got := order(list, plenty)
	for i, want := range []int{4, 2, 0, 3, 1} {
		if got[i] != want {
			t.Fatalf("order %v", got)
		}
	}
}

// Who sends what is large waits for his next turn while others have theirs.
func TestTurnsOctets(t *testing.T) {
	list := newTurns()
	for i := range 10 {
		r := ready(i, 1, 1)
		r.Size = 4 * turnOctets
		list.add(r)
		list.add(ready(100+i, 2, 1))
	}
	got := order(list, plenty)
	small := 0
	for _, id := range got[:8] {
		if id >= 100 {
			small++
		}
	}
	if len(got) != 20 || small < 6 {
		t.Errorf("order %v", got)
	}
}

// A destination without a place keeps nobody waiting, and costs nothing until
// there is one.
func TestTurnsBlocked(t *testing.T) {
	list := newTurns()
	asked := map[uint64]int{}
	full := map[uint64]bool{1: true, 2: true}
	reserve := func(d uint64) (*seat, string) {
		asked[d]++
		if full[d] {
			return nil, unknownHop(d)
		}
		return &seat{}, ""
	}
	for i := range 30 {
		list.add(ready(i, uint64(i%2), uint64(1+i%3)))
	}
	if got := order(list, reserve); len(got) != 10 {
		t.Fatalf("%d items go", len(got))
	}
	for i := range 30 {
		list.add(ready(100+i, 1, 1))
	}
	if got := order(list, reserve); len(got) != 0 || asked[1] != 2 {
		t.Fatalf("%d items go, asked %d times", len(got), asked[1])
	}
	full[1] = false
	list.unblock(map[string]bool{unknownHop(1): true, unknownHop(9): true})
	if got := order(list, reserve); len(got) != 40 {
		t.Errorf("%d items go", len(got))
	}
	full[2] = false
	list.unblockAll()
	if got := order(list, reserve); len(got) != 10 {
		t.Errorf("%d items go", len(got))
	}
}

// However much is due, what is held in memory is bounded, no destination is
// left out, and the rest has its turn when there is room.
func TestTurnsBounds(t *testing.T) {
	list := newTurns()
	const dead, each = 1000, 200
	total := 0
	all := map[int]outqueue.Ready{}
	for i := range dead * each {
		all[i] = ready(i+1, 1, uint64(1+i%dead))
		total++
	}
	for i := range 3 * maxFlow {
		all[total] = ready(total+1, 2, 5000)
		total++
		_ = i
	}
	fill := func() {
		list.reread()
		for i := range total {
			if r, ok := all[i]; ok {
				list.add(r)
			}
		}
	}
	fill()
	if len(list.listed) > maxTurns+1 || !list.left || list.wanting() {
		t.Fatalf("%d items are listed", len(list.listed))
	}
	lone := ready(total+1, 3, 6000)
	list.add(lone)
	if got, ok := list.next(anybody, plenty); !ok || got.Sender != 1 {
		t.Error(got, ok)
	}
	seen := 1
	for n := 0; n < 3; n++ {
		got, ok := list.next(anybody, plenty)
		if seen++; ok && got.ID == lone.ID {
			break
		}
		if n == 2 {
			t.Error("the lone message waits")
		}
	}
}

// What is known to be in vain has half of the attempts, one sender half of
// what there is, and a part is kept for those of whom nothing runs. What is new
// has more, the most where mail is taken.
func TestLanes(t *testing.T) {
	p := newPlaces(1000)
	l := newLanes(80, 1000, p) // so many processors that nobody waits for his pace
	now := time.Unix(0, 0)
	count := func() (n int) {
		for {
			if _, _, ok := l.next(now); !ok {
				return n
			}
			n++
		}
	}
	for i := range 500 {
		r := ready(i, 1, uint64(i))
		r.Tried = true
		l.add(r)
	}
	if n := count(); n != 20 {
		t.Errorf("%d in vain of one sender run", n)
	}
	for i := range 500 {
		r := ready(1000+i, uint64(2+i%2), uint64(i))
		r.Tried = true
		l.add(r)
	}
	if n := count(); n != 15 {
		t.Errorf("%d more in vain run", n)
	}
	for first, want := range map[int][3]int{10_000: {30, 10, 10}, 20_000: {40, 20, 10}} {
		at := func(i int) uint64 {
			if first == 20_000 { // somebody takes mail there
				p.learn(uint64(first+i), "live.test")
				p.hops["live.test"] = &crowd{limit: 10_000, takes: true}
			}
			return uint64(first + i)
		}
		for i := range 500 {
			l.add(ready(first+i, 5, at(i)))
		}
		if n := count(); n != want[0] {
			t.Errorf("%d new ones of one sender run", n)
		}
		for i := range 500 {
			l.add(ready(first+1000+i, 6, at(1000+i)))
		}
		if n := count(); n != want[1] {
			t.Errorf("%d new ones of another sender run", n)
		}
		for i := range 20 {
			l.add(ready(first+2000+i, uint64(100+i), at(2000+i)))
		}
		if n := count(); n != want[2] {
			t.Errorf("%d single messages run", n)
		}
	}
}

// Attempts that reach nobody follow each other at a pace, whatever waits; those
// that reach somebody do not wait, nor does what goes where mail is taken.
func TestPace(t *testing.T) {
	p := newPlaces(1000)
	l := newLanes(1000, 2, p)
	now := time.Unix(100, 0)
	ahead := int(paceAhead/(paceEach/2)) + 1
	count := func(how ending) (n int) {
		for n < 10*ahead {
			got, lane, ok := l.next(now)
			if !ok {
				break
			}
			n++
			got.seat.leave(nothing, now)
			l.done(lane, got.Ready, how)
		}
		return n
	}
	for i := range 100 * ahead {
		l.add(ready(i, 1, uint64(i)))
	}
	if n := count(inVain); n != ahead {
		t.Errorf("%d go at once", n)
	}
	if next := l.paced(now); next != now.Add(paceEach/2) {
		t.Errorf("the next goes after %v", next.Sub(now))
	}
	p.learn(1_000_000, "live.test")
	p.hops["live.test"] = &crowd{limit: 20, takes: true}
	l.add(ready(1_000_000, 1, 1_000_000))
	if n := count(reached); n != 1 {
		t.Errorf("%d go where mail is taken", n)
	}
	now = now.Add(4 * paceEach)
	if n := count(inVain); n != 8 {
		t.Errorf("%d go after %v", n, 4*paceEach)
	}
	now = now.Add(paceEach / 2)
	if n := count(reached); n != 10*ahead {
		t.Errorf("%d go that reach somebody", n)
	}
	now = now.Add(time.Hour)
	if n := count(inVain); n != ahead {
		t.Errorf("%d go at once after an hour", n)
	}
}

// Listing and choosing among a hundred thousand costs little for each.
func BenchmarkTurns(b *testing.B) {
	b.ReportAllocs()
	list := newTurns()
	for i := range 90_000 {
		list.add(ready(i, 1, uint64(i%10_000)))
	}
	dead := func(d uint64) (*seat, string) {
		if d < 10_000 {
			return nil, unknownHop(d)
		}
		return &seat{}, ""
	}
	for i := 0; b.Loop(); i++ {
		r := ready(1_000_000+i, 2, 20_000)
		list.add(r)
		t, ok := list.next(anybody, dead)
		if !ok {
			b.Fatal("the live message has no turn")
		}
		list.done(t.Ready)
	}
}

// What becomes due once more while it is being tried is not forgotten, and what
// was only seen once more does not come again.
func TestDueAgainWhileTried(t *testing.T) {
	l := newLanes(8, 2, newPlaces(20))
	now := time.Unix(100, 0)
	for _, again := range []bool{false, true} {
		r := ready(1, 1, 1)
		l.add(r)
		got, lane, ok := l.next(now)
		if !ok {
			t.Fatal("nobody's turn")
		}
		if seen := r; again {
			seen.Due = seen.Due.Add(time.Second)
			l.add(seen)
		} else {
			l.add(seen)
		}
		got.seat.leave(nothing, now)
		l.done(lane, r, inVain)
		next, lane, ok := l.next(now)
		if ok != again || len(l.again) != 0 {
			t.Fatalf("comes again: %v, want %v", ok, again)
		}
		if ok {
			next.seat.leave(nothing, now)
			l.done(lane, next.Ready, inVain)
		}
	}
	// One that was being changed when its turn came comes again as it is.
	r := ready(2, 1, 1)
	l.add(r)
	got, lane, _ := l.next(now)
	l.add(r)
	got.seat.leave(nothing, now)
	l.done(lane, r, notOurs)
	if _, _, ok := l.next(now); !ok {
		t.Error("it is forgotten")
	}
}
