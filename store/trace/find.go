package trace

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

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

// maxRows bounds how many rows one search reads.
const maxRows = 5000

// Find gives the stories of the messages of which a step is as wanted, with
// all the steps that are remembered of each, the oldest first.
func (s *Store) Find(ctx context.Context, q Query) ([]Story, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	var stories []Story
	err := s.db.View(ctx, keys.Trace, func(r kv.Reader) error {
		stories = nil
		rows, err := s.rows(r, q)
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, events := range rows {
			id := events[0].Message
			if id != "" && known[id] || len(stories) >= q.Limit {
				continue
			}
			known[id] = true
			story := Story{Message: id, Events: events}
			if id != "" {
				all, err := s.rows(r, Query{Term: id})
				if err != nil {
					return err
				}
				story.Events = nil
				for _, more := range all {
					story.Events = append(story.Events, more...)
				}
			}
			slices.SortStableFunc(story.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
			stories = append(stories, story)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find steps: %w", err)
	}
	slices.SortStableFunc(stories, func(a, b Story) int {
		return cmp.Compare(a.Events[0].Time.UnixNano(), b.Events[0].Time.UnixNano())
	})
	return stories, nil
}

// rows gives the rows that a query finds, the newest first.
func (s *Store) rows(r kv.Reader, q Query) ([][]Event, error) {
	lo, hi := place(q.Since, 0, 0), bytes.Repeat([]byte{0xff}, 16)
	if !q.Until.IsZero() {
		hi = place(q.Until, 0, 0)
	}
	limit := maxRows
	if q.Term == "" {
		limit = min(limit, 20*q.Limit)
		var found [][]Event
		for item, err := range r.Scan(append([]byte{keys.TraceEvents}, lo...), append([]byte{keys.TraceEvents}, hi...), kv.ScanOptions{Reverse: true, Limit: limit}) {
			if err != nil {
				return nil, err
			}
			if events, err := decode(item.Value); err == nil && len(events) > 0 {
				found = append(found, events)
			}
		}
		return found, nil
	}
	sum := sha256.Sum256([]byte(normal(clip(q.Term))))
	var wanted [][]byte
	for item, err := range r.Scan(indexKey(sum[:8], lo), indexKey(sum[:8], hi), kv.ScanOptions{Reverse: true, KeysOnly: true, Limit: limit}) {
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, append([]byte{keys.TraceEvents}, item.Key[9:]...))
	}
	values, err := r.GetMany(wanted)
	if err != nil {
		return nil, err
	}
	var found [][]Event
	for _, v := range values {
		if events, err := decode(v); err == nil && mentions(events, q.Term) {
			found = append(found, events)
		}
	}
	return found, nil
}

// mentions tells whether a row is really about a term: hashes may coincide.
func mentions(events []Event, term string) bool {
	sum := sha256.Sum256([]byte(normal(clip(term))))
	return slices.ContainsFunc(index(events), func(t []byte) bool { return bytes.Equal(t, sum[:8]) }) &&
		slices.ContainsFunc(events, func(e Event) bool {
			words := append([]string{e.Message, e.MessageID, e.Queue, e.From, host(e.Remote)}, e.To...)
			return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(normal(w), normal(term)) })
		})
}
