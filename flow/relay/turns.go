package relay

import (
	"container/heap"
	"container/list"
	"time"

	"waxwing/store/outqueue"
)

const (
	// maxTurns bounds how many items wait for their turn in memory, and
	// maxFlow how many of one sender to one destination. The others stay in
	// the index until there is room.
	maxTurns = 100_000
	maxFlow  = 5_000
	// turnOctets is how much of a message counts as one turn of its sender.
	turnOctets = 256 << 10
	// maxTurnCost is how many turns a message counts as at most.
	maxTurnCost = 16
)

// turns says whose turn it is. Senders take turns with each other, so that who
// sends much does not keep others waiting, and each one's destinations take
// turns, so that a slow one does not keep the others waiting. What is more
// urgent comes first within that. It is surplus round robin: a large message
// costs its sender several turns, afterwards.
//
// It is used by one goroutine.
type turns struct {
	senders map[uint64]*sender
	ring    *list.List // of *sender with flows in their rings; the front is next
	flows   map[flowKey]*flow
	blocked map[string][]*flow   // by the hop at which there is no place
	listed  map[outqueue.ID]bool // whether its turn has come
	left    bool                 // some had no room and are only in the index
	gone    int                  // how many have gone since then
}

type flowKey struct{ sender, destination uint64 }

type sender struct {
	credit  int
	running int
	ring    *list.List // of *flow with entries that are not blocked
	element *list.Element
}

// A flow is what one sender has for one destination.
type flow struct {
	key     flowKey
	entries entries
	element *list.Element // in the sender's ring; nil if it is blocked
}

func newTurns() *turns {
	return &turns{
		senders: map[uint64]*sender{}, ring: list.New(), flows: map[flowKey]*flow{}, blocked: map[string][]*flow{},
		listed: map[outqueue.ID]bool{},
	}
}

// add lists an item that is due. One that is listed already is left as it is.
func (t *turns) add(r outqueue.Ready) {
	if _, ok := t.listed[r.ID]; ok {
		return
	}
	key := flowKey{r.Sender, r.Destination}
	if key.destination == 0 {
		key.destination = uint64(r.ID) // of an older version: on its own
	}
	f := t.flows[key]
	if f == nil && len(t.listed) >= 2*maxTurns || f != nil && (len(f.entries) >= maxFlow || len(t.listed) >= maxTurns) {
		t.left = true
		return
	}
	if f == nil {
		f = &flow{key: key}
		t.flows[key] = f
		t.admit(f)
	}
	t.listed[r.ID] = false
	heap.Push(&f.entries, r)
}

// admit puts a flow into its sender's ring.
func (t *turns) admit(f *flow) {
	s := t.senders[f.key.sender]
	if s == nil {
		s = &sender{ring: list.New()}
		t.senders[f.key.sender] = s
	}
	f.element = s.ring.PushBack(f)
	if s.element == nil {
		s.element = t.ring.PushBack(s)
	}
}

// withdraw takes a flow out of its sender's ring.
func (t *turns) withdraw(f *flow) {
	s := t.senders[f.key.sender]
	s.ring.Remove(f.element)
	f.element = nil
	t.rest(f.key.sender, s)
}

// rest takes a sender out of the ring who has nothing that could go, and
// forgets one who has nothing at all.
func (t *turns) rest(key uint64, s *sender) {
	if s.ring.Len() > 0 {
		return
	}
	if s.element != nil {
		t.ring.Remove(s.element)
		s.element = nil
	}
	if s.running == 0 {
		delete(t.senders, key)
	}
}

// A turn is an item whose turn it is, with its place.
type turn struct {
	outqueue.Ready
	seat *seat
}

// next gives the item whose turn it is. may says whether a sender who has so
// many running may have one more; reserve takes a place at the item's hop, or
// names the hop at which none is free.
func (t *turns) next(may func(running int) bool, reserve func(destination uint64) (*seat, string)) (turn, bool) {
	for range maxTurnCost + 1 {
		poor := false // somebody could have one but for the credit
		for range t.ring.Len() {
			e := t.ring.Front()
			s := e.Value.(*sender)
			t.ring.MoveToBack(e)
			if !may(s.running) {
				continue
			}
			if s.credit < 0 {
				s.credit++
				poor = true
				continue
			}
			if got, ok := t.nextOf(s, reserve); ok {
				return got, true
			}
		}
		if !poor {
			break
		}
	}
	return turn{}, false
}

// nextOf gives the next item of a sender. Flows for which there is no place
// leave the ring.
func (t *turns) nextOf(s *sender, reserve func(uint64) (*seat, string)) (turn, bool) {
	for s.ring.Len() > 0 {
		f := s.ring.Front().Value.(*flow)
		seat, hop := reserve(f.key.destination)
		if seat == nil {
			t.withdraw(f)
			t.blocked[hop] = append(t.blocked[hop], f)
			continue
		}
		s.ring.MoveToBack(f.element)
		r := heap.Pop(&f.entries).(outqueue.Ready)
		s.credit -= min(int(r.Size/turnOctets), maxTurnCost)
		s.running++
		t.listed[r.ID] = true
		if len(f.entries) == 0 {
			delete(t.flows, f.key)
			t.withdraw(f)
		}
		return turn{r, seat}, true
	}
	return turn{}, false
}

// unblock lets those try again who wait for a place at a hop.
func (t *turns) unblock(hops map[string]bool) {
	for hop := range hops {
		for _, f := range t.blocked[hop] {
			t.admit(f)
		}
		delete(t.blocked, hop)
	}
}

// unblockAll lets everybody try again.
func (t *turns) unblockAll() {
	for hop, flows := range t.blocked {
		for _, f := range flows {
			t.admit(f)
		}
		delete(t.blocked, hop)
	}
}

// done says that an item's attempt has come to its end.
func (t *turns) done(r outqueue.Ready) {
	delete(t.listed, r.ID)
	t.gone++
	if s := t.senders[r.Sender]; s != nil {
		s.running--
		t.rest(r.Sender, s)
	}
}

// wanting tells whether there is something in the index that had no room, and
// room by now.
func (t *turns) wanting() bool { return t.left && (t.gone >= maxFlow/2 || len(t.listed) == 0) }

// expecting tells whether something waits that the end of an attempt may let go.
func (t *turns) expecting() bool { return t.left || t.ring.Len() > 0 || len(t.blocked) > 0 }

// reread says that the index is read from its beginning again.
func (t *turns) reread() { t.left, t.gone = false, 0 }

// entries is a heap: what is most urgent first, then what has waited longest.
type entries []outqueue.Ready

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	if e[i].Priority != e[j].Priority {
		return e[i].Priority > e[j].Priority
	}
	if !e[i].Due.Equal(e[j].Due) {
		return e[i].Due.Before(e[j].Due)
	}
	return e[i].ID < e[j].ID
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)   { *e = append(*e, x.(outqueue.Ready)) }
func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// A lane is a part of the attempts that run at once: what goes where mail was
// taken lately has one, what goes where nobody has been lately another, and
// what has been in vain before, or goes where there is trouble, a third, so that
// the dead do not keep the living waiting.
type lane struct {
	*turns
	pace    *pace // nil for as fast as it goes
	most    int   // attempts that run at once
	each    int   // of them, of one sender
	quiet   int   // of them, kept for senders of whom nothing runs
	running int
}

// may tells whether a sender of whom so many run may have one more.
func (l *lane) may(running int) bool {
	if running == 0 {
		return l.running < l.most
	}
	return running < l.each && l.running < l.most-l.quiet
}

// lanes divides attempts.
type lanes struct {
	proven, unproven, doubtful lane
	places                     *places
	// again is what has become due once more before its attempt was known to
	// have ended: a cursor has passed it.
	again map[outqueue.ID]outqueue.Ready
}

func newLanes(attempts, processors int, p *places) *lanes {
	part := func(n int) int { return max(attempts*n/8, 1) }
	return &lanes{
		proven:   lane{turns: newTurns(), most: part(7), each: part(4), quiet: attempts / 8},
		unproven: lane{turns: newTurns(), pace: newPace(processors), most: part(5), each: part(3), quiet: attempts / 8},
		doubtful: lane{turns: newTurns(), pace: newPace(processors), most: part(4), each: part(2), quiet: attempts / 16},
		places:   p,
		again:    map[outqueue.ID]outqueue.Ready{},
	}
}

// all gives the lanes, the first of which comes first.
func (l *lanes) all() [3]*lane { return [3]*lane{&l.proven, &l.unproven, &l.doubtful} }

// add lists an item in its lane.
func (l *lanes) add(r outqueue.Ready) {
	for _, lane := range l.all() {
		if running, ok := lane.listed[r.ID]; ok {
			if running {
				l.again[r.ID] = r
			}
			return
		}
	}
	switch how := l.places.found(r.Destination); {
	case r.Tried || how == unreachable:
		l.doubtful.add(r)
	case how == worked:
		l.proven.add(r)
	default:
		l.unproven.add(r)
	}
}

// done says that an item's attempt has come to its end, or has not been made,
// and lists the item again if it has become due meanwhile. What was tried has
// another time then.
func (l *lanes) done(lane *lane, r outqueue.Ready, how ending) {
	lane.running--
	lane.turns.done(r)
	if lane.pace != nil && how != inVain {
		lane.pace.repay()
	}
	again, ok := l.again[r.ID]
	delete(l.again, r.ID)
	if tried := how == reached || how == inVain; ok && (!tried || !again.Due.Equal(r.Due)) {
		l.add(again)
	}
}

// next gives the item whose turn it is, with the lane that it is in.
func (l *lanes) next(now time.Time) (turn, *lane, bool) {
	reserve := func(destination uint64) (*seat, string) { return l.places.reserve(destination, now) }
	for _, lane := range l.all() {
		if lane.running >= lane.most || lane.pace != nil && now.Before(lane.pace.next()) {
			continue
		}
		if t, ok := lane.next(lane.may, reserve); ok {
			lane.running++
			if lane.pace != nil {
				lane.pace.take(now)
			}
			return t, lane, true
		}
	}
	return turn{}, nil, false
}

// paced gives when something may go that waits for its pace alone; zero for
// nothing.
func (l *lanes) paced(now time.Time) (next time.Time) {
	for _, lane := range l.all() {
		if lane.pace != nil && lane.running < lane.most && lane.ring.Len() > 0 && now.Before(lane.pace.next()) {
			next = earlier(next, lane.pace.next())
		}
	}
	return next
}

// wanting tells whether there is something in the index that had no room, and
// room by now.
func (l *lanes) wanting() bool {
	return l.proven.wanting() || l.unproven.wanting() || l.doubtful.wanting()
}

// reread says that the index is read from its beginning again: everybody may
// try once more.
func (l *lanes) reread() {
	for _, lane := range l.all() {
		lane.turns.reread()
		lane.unblockAll()
	}
}

// expecting tells whether something waits that the end of an attempt may let go.
func (l *lanes) expecting() bool {
	return len(l.again) > 0 || l.proven.expecting() || l.unproven.expecting() || l.doubtful.expecting()
}

// freed lets those try again for whom there may be a place now.
func (l *lanes) freed() {
	if hops := l.places.takeFreed(); hops != nil {
		for _, lane := range l.all() {
			lane.unblock(hops)
		}
	}
}
