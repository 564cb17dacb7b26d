package kvtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"waxwing/store/kv"
)

// A Load is random transactions of many at once on one partition, with a
// record of what each has read and been told. Check then finds the one order
// in which they can have happened, or says that there is none: strict
// serialisability of updates, views that show what was durable at some moment
// between their beginning and their end, nothing lost, nothing done twice.
//
// Every update that writes counts in a key of its own and leaves its name, so
// that the store itself tells the order.
type Load struct {
	Stores    []kv.Store // on the same data; workers take turns
	Partition kv.Partition
	Unknown   func(error) bool // the error leaves open whether it was committed; nil for never
	Failing   bool             // errors are to be expected

	clock   atomic.Int64
	mu      sync.Mutex // guards what follows
	updates []*event
	views   []*event
}

const (
	loadWorkers = 8
	loadKeys    = 6
	countKey    = "count" // how many updates have written
	nameKey     = "name"  // of the last of them
)

// An event is one transaction as its caller saw it.
type event struct {
	name         string
	began, ended int64
	read         map[string]string // what it found; missing keys are missing
	asked        []string          // keys that were read; nil for all
	wrote        map[string]string // "" for deleted
	version      kv.Version
	err          error
}

var errOnPurpose = errors.New("on purpose")

// Run runs rounds transactions for each worker, or fewer if ctx ends.
func (l *Load) Run(ctx context.Context, t testing.TB, rounds int) {
	var all sync.WaitGroup
	for w := range loadWorkers {
		s := l.Stores[w%len(l.Stores)]
		all.Go(func() {
			for n := 0; n < rounds && ctx.Err() == nil; n++ {
				if rand.IntN(4) == 0 {
					l.view(s, t)
				} else {
					l.update(s, t, fmt.Sprintf("w%d-%d", w, n))
				}
			}
		})
	}
	all.Wait()
}

func (l *Load) view(s kv.Store, t testing.TB) {
	e := &event{began: l.clock.Add(1)}
	e.err = s.View(context.Background(), l.Partition, func(r kv.Reader) error {
		e.read = map[string]string{}
		if rand.IntN(2) == 0 { // in two steps
			v, err := r.Get([]byte(countKey))
			if err == nil {
				e.read[countKey] = string(v)
			} else if !errors.Is(err, kv.ErrNotFound) {
				return err
			}
		}
		before := e.read[countKey]
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			e.read[string(item.Key)] = string(item.Value)
		}
		if before != "" && before != e.read[countKey] {
			t.Errorf("a view counts %s, and then %s", before, e.read[countKey])
		}
		return nil
	})
	e.ended = l.clock.Add(1)
	if e.err != nil && !l.Failing {
		t.Errorf("view: %v", e.err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views = append(l.views, e)
}

func (l *Load) update(s kv.Store, t testing.TB, name string) {
	e := &event{name: name, began: l.clock.Add(1)}
	writes, fails := rand.IntN(6) > 0, rand.IntN(8) == 0
	keys := []string{countKey, nameKey}
	for _, n := range rand.Perm(loadKeys)[:rand.IntN(loadKeys)] {
		keys = append(keys, "k"+strconv.Itoa(n))
	}
	plan := map[string]string{}
	for range 1 + rand.IntN(3) {
		plan["k"+strconv.Itoa(rand.IntN(loadKeys))] = [...]string{"", name, string(bytes.Repeat([]byte(name), 1000))}[rand.IntN(3)]
	}
	how := rand.IntN(3)
	c, err := s.Update(context.Background(), l.Partition, func(tx kv.Txn) error {
		e.read, e.wrote, e.asked = map[string]string{}, nil, keys
		if err := e.readKeys(tx, keys, how); err != nil {
			return err
		}
		if writes {
			e.write(tx, plan)
		}
		if fails {
			return errOnPurpose
		}
		return nil
	})
	if err == nil {
		e.version = c.Version()
		err = c.Wait(context.Background())
	}
	e.err, e.ended = err, l.clock.Add(1)
	if fails && errors.Is(err, errOnPurpose) {
		e.wrote = nil // and what it has read still counts
		e.err = nil
	} else if err != nil && !l.Failing {
		t.Errorf("update: %v", err)
	} else if err == nil && fails {
		t.Error("an update whose function fails succeeds")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.wrote == nil && e.err == nil {
		l.views = append(l.views, e)
	} else {
		l.updates = append(l.updates, e)
	}
}

// readKeys reads in one of three ways.
func (e *event) readKeys(tx kv.Txn, keys []string, how int) error {
	switch how {
	case 0:
		all := make([][]byte, len(keys))
		for i, key := range keys {
			all[i] = []byte(key)
		}
		values, err := tx.GetMany(all)
		if err != nil {
			return err
		}
		for i, v := range values {
			if v != nil {
				e.read[keys[i]] = string(v)
			}
		}
	case 1:
		for _, key := range keys {
			v, err := tx.Get([]byte(key))
			if err == nil {
				e.read[key] = string(v)
			} else if !errors.Is(err, kv.ErrNotFound) {
				return err
			}
		}
	case 2:
		for item, err := range tx.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			e.read[string(item.Key)] = string(item.Value)
		}
		e.asked = nil
	}
	return nil
}

// write carries out the plan, counts, and leaves the name.
func (e *event) write(tx kv.Txn, plan map[string]string) {
	n, _ := strconv.Atoi(e.read[countKey])
	e.wrote = maps.Clone(plan)
	e.wrote[countKey], e.wrote[nameKey] = strconv.Itoa(n+1), e.name
	for key, value := range e.wrote {
		if value == "" {
			tx.Delete([]byte(key))
		} else {
			tx.Put([]byte(key), []byte(value))
		}
	}
}

// place is how many updates had written when the event read.
func (e *event) place() int {
	n, _ := strconv.Atoi(e.read[countKey])
	return n
}

// Check reads the store as it is now and looks for the order.
func (l *Load) Check(t testing.TB) {
	t.Helper()
	final := &event{began: l.clock.Add(1)}
	err := l.Stores[0].View(t.Context(), l.Partition, func(r kv.Reader) error {
		final.read = map[string]string{}
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			final.read[string(item.Key)] = string(item.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	final.ended = l.clock.Add(1)
	chain := l.order(t, final)
	if t.Failed() {
		return
	}
	states := []map[string]string{{}}
	var version kv.Version
	for i, e := range chain {
		now := states[i]
		e.compare(t, now)
		if e.err == nil && e.version <= version {
			t.Errorf("%s makes version %d after %d", e.name, e.version, version)
		}
		version = max(version, e.version)
		next := maps.Clone(now)
		for key, value := range e.wrote {
			if next[key] = value; value == "" {
				delete(next, key)
			}
		}
		states = append(states, next)
	}
	l.inTime(t, chain, append(l.views, final), states)
}

// order gives the updates that have been committed, as the store has counted
// them.
func (l *Load) order(t testing.TB, final *event) []*event {
	names := map[int]string{final.place(): final.read[nameKey]} // who was the nth
	for _, e := range slices.Concat(l.updates, l.views) {
		if e.read == nil || e.err != nil && e.wrote == nil || len(e.read) == 0 {
			continue
		}
		if name, n := e.read[nameKey], e.place(); e.err == nil && names[n] != "" && names[n] != name {
			t.Errorf("number %d is %s, and then %s", n, names[n], name)
		} else if e.err == nil {
			names[n] = name
		}
	}
	byName := map[string]*event{}
	for _, e := range l.updates {
		byName[e.name] = e
		if e.err == nil {
			if n := e.place() + 1; names[n] != "" && names[n] != e.name {
				t.Errorf("number %d is %s, and then %s", n, names[n], e.name)
			} else {
				names[n] = e.name
			}
		}
	}
	chain := make([]*event, final.place())
	for i := range chain {
		e := byName[names[i+1]]
		switch {
		case e == nil:
			// Nobody has seen it and lived: one of those whose outcome is unknown.
			for _, u := range l.updates {
				if u.err != nil && l.unknown(u.err) && u.wrote != nil && u.place() == i {
					e = u
				}
			}
			if e == nil {
				t.Fatalf("nobody knows who was number %d of %d", i+1, len(chain))
			}
		case e.err != nil && !l.unknown(e.err):
			t.Errorf("%s was told %v, and has happened", e.name, e.err)
		}
		chain[i] = e
	}
	done := map[*event]bool{}
	for _, e := range chain {
		done[e] = true
	}
	for _, e := range l.updates {
		if e.err == nil && !done[e] {
			t.Errorf("%s was told that it has happened, and is lost", e.name)
		}
	}
	return chain
}

func (l *Load) unknown(err error) bool { return l.Unknown != nil && l.Unknown(err) }

// compare checks what an event has read.
func (e *event) compare(t testing.TB, state map[string]string) {
	asked := e.asked
	if asked == nil {
		asked = slices.Concat(slices.Collect(maps.Keys(state)), slices.Collect(maps.Keys(e.read)))
	}
	for _, key := range asked {
		have, ok := e.read[key]
		if want, there := state[key]; ok != there || have != want {
			t.Errorf("%s has read %s = %.20q, %v as number %d, where it is %.20q, %v", cmp.Or(e.name, "a view"), key, have, ok, e.place(), want, there)
		}
	}
}

// inTime checks that nothing happened before it began or after it ended, and
// that readers saw what had ended before them.
func (l *Load) inTime(t testing.TB, chain, readers []*event, states []map[string]string) {
	var latest int64
	began := make([]int64, len(chain)+1) // the latest beginning among the first n
	for i, e := range chain {
		if e.err == nil && e.ended < latest {
			t.Errorf("%s ended before one began that was ordered before it", e.name)
		}
		latest = max(latest, e.began)
		began[i+1] = latest
	}
	for _, r := range readers {
		if r.err != nil {
			continue
		}
		n := r.place()
		if n >= len(states) {
			t.Errorf("a reader counts %d of %d", n, len(chain))
			continue
		}
		r.compare(t, states[n])
		if began[n] > r.ended {
			t.Errorf("a reader that ended at %d shows what began at %d", r.ended, began[n])
		}
		for _, e := range chain[n:] {
			if e.err == nil && e.ended < r.began {
				t.Errorf("a reader that began at %d counts %d and misses %s, which ended at %d", r.began, n, e.name, e.ended)
			}
		}
	}
}

// Done tells how many updates have been committed, and how many were not.
func (l *Load) Done() (done, failed, unknown int) {
	for _, e := range l.updates {
		switch {
		case e.err == nil:
			done++
		case l.unknown(e.err):
			unknown++
		default:
			failed++
		}
	}
	return done, failed, unknown
}

// serialisable is the law that a Load checks.
func serialisable(t *testing.T, h *house) {
	l := &Load{Stores: []kv.Store{h.Store}, Partition: h.partition()}
	l.Run(t.Context(), t, 60)
	l.Check(t)
}
