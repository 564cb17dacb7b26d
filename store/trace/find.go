package trace

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Query says which steps are wanted. The zero value wants all.
type Query struct {
	// Term is an id of a message (ours, the queue's or that of its header), an
	// address of the envelope, or a peer's IP address. Empty for all.
	Term string
	// Since and Until bound the time; zero for no bound.
	Since, Until time.Time
	// Limit is how many messages are told at most, the newest; 0 for 100.
	Limit int
}

// A Story is the steps of one message, or of a peer that brought none, in the
// order of time.
type Story struct {
	Message string
	Events  []Event
}

const (
	// maxBlocks bounds how many blocks one search reads.
	maxBlocks = 5000
	// blocksAtOnce is how many are read in one round trip.
	blocksAtOnce = 8
)

// Find gives the stories of the messages of which a step is as wanted, with
// all the steps that are remembered of each, the oldest first.
func (s *Store) Find(ctx context.Context, q Query) ([]Story, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	if err := s.Flush(ctx); err != nil { // what is there can be told all the same
		s.o.Log.Warn("steps of messages cannot be written", obs.Err, err)
	}
	var stories []Story
	err := s.db.View(ctx, keys.Trace, func(r kv.Reader) (err error) {
		stories, err = find(r, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find steps: %w", err)
	}
	for _, story := range stories {
		slices.SortStableFunc(story.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	}
	slices.SortStableFunc(stories, func(a, b Story) int {
		return cmp.Compare(a.Events[0].Time.UnixNano(), b.Events[0].Time.UnixNano())
	})
	return stories, nil
}

// find looks for the messages first, and then for all of their steps.
func find(r kv.Reader, q Query) (stories []Story, err error) {
	wanted := map[string]int{} // ids of messages, and where in stories each is
	for events, err := range q.blocks(r) {
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(events) {
			if len(stories) >= q.Limit {
				break
			}
			if !q.wants(&e) {
				continue
			}
			if e.Message == "" {
				stories = append(stories, Story{Events: []Event{e}})
			} else if _, known := wanted[e.Message]; !known {
				wanted[e.Message] = len(stories)
				stories = append(stories, Story{Message: e.Message})
			}
		}
		if len(stories) >= q.Limit {
			break
		}
	}
	if len(wanted) == 0 {
		return stories, nil
	}
	ids := slices.Collect(maps.Keys(wanted))
	for events, err := range blocks(r, time.Time{}, time.Time{}, hashes(ids)) {
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(events) { // turned round below
			if i, ok := wanted[e.Message]; ok {
				stories[i].Events = append(stories[i].Events, e)
			}
		}
	}
	for _, i := range wanted {
		slices.Reverse(stories[i].Events)
	}
	return slices.DeleteFunc(stories, func(s Story) bool { return len(s.Events) == 0 }), nil
}

// wants tells whether a step is as wanted.
func (q *Query) wants(e *Event) bool {
	if e.Time.Before(q.Since) || !q.Until.IsZero() && !e.Time.Before(q.Until) {
		return false
	}
	found := q.Term == ""
	e.words(func(word string) { found = found || word != "" && normal(word) == normal(q.Term) })
	return found
}

// blocks gives the steps of the blocks that may have what is wanted.
func (q *Query) blocks(r kv.Reader) func(func([]Event, error) bool) {
	if q.Term == "" {
		return blocks(r, q.Since, q.Until, nil)
	}
	return blocks(r, q.Since, q.Until, hashes([]string{q.Term}))
}

// hashes gives those of words, in order.
func hashes(words []string) []uint32 {
	all := make([]uint32, 0, len(words))
	for _, w := range words {
		all = append(all, hash(normal(w)))
	}
	slices.Sort(all)
	return all
}

// blocks gives the steps of the blocks that have one of the words, all if
// there are none, and of which some may be of the time; the newest block
// first.
func blocks(r kv.Reader, since, until time.Time, words []uint32) func(func([]Event, error) bool) {
	return func(yield func([]Event, error) bool) {
		var from []byte
		if !since.IsZero() {
			from = place(since.UnixNano(), 0, 0)
		}
		var found [][]byte
		read := func() bool {
			ok := decodeAll(r, found, yield)
			found = found[:0]
			return ok
		}
		n := 0
		for row, err := range newestFirst(r, from) {
			if err != nil {
				yield(nil, err)
				return
			}
			oldest, _, err := parseIndex(row.words)
			if err != nil || !until.IsZero() && !oldest.Before(until) || words != nil && !has(row.words, words) {
				continue
			}
			found = append(found, row.on.stepsKey(row.place))
			if n++; n >= maxBlocks {
				break
			}
			if len(found) >= blocksAtOnce && !read() {
				return
			}
		}
		read()
	}
}

// decodeAll reads blocks and yields their steps. One that cannot be read is
// passed over: what else is remembered is told all the same.
func decodeAll(r kv.Reader, found [][]byte, yield func([]Event, error) bool) bool {
	values, err := r.GetMany(found)
	if err != nil {
		return yield(nil, err)
	}
	for _, v := range values {
		if events, err := decode(v); err == nil && !yield(events, nil) {
			return false
		}
	}
	return true
}
