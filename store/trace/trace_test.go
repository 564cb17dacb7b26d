package trace

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
	"waxwing/test/engine"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, o Options) *Store {
	t.Helper()
	db := engine.New(t)
	t.Cleanup(func() { _ = db.Close() })
	return New(db, o)
}

func (s *Store) find(t *testing.T, q Query) []Story {
	t.Helper()
	stories, err := s.Find(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return stories
}

func way(s *Store, i int, at time.Time) {
	id := fmt.Sprint("m", i)
	to := []string{fmt.Sprintf("bob%d@b.example", i%10)}
	for n, e := range []Event{
		{Step: Received, MessageID: fmt.Sprintf("<%d@a.example>", i), Remote: "192.0.2.1:4711", From: "Ann@a.example", To: to, Reason: "by mx"},
		{Step: Queued, Queue: fmt.Sprintf("q%x", i), To: to},
		{Step: Sent, Queue: fmt.Sprintf("q%x", i), Remote: "mx.b.example[192.0.2.9:25]", To: to, Reason: "250 ok", Facts: []Fact{{"tls", "TLS 1.3"}}},
	} {
		e.Message, e.Time = id, at.Add(time.Duration(n)*time.Millisecond)
		s.Record(context.Background(), e)
	}
}

// A message is found by whatever is known of it, with all its steps.
func TestFind(t *testing.T) {
	s := open(t, Options{})
	for i := range 30 {
		way(s, i, start.Add(time.Duration(i)*time.Minute))
		if i%7 == 0 { // a story may lie in several rows
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Record(t.Context(), Event{Step: Connected, Time: start, Remote: "198.51.100.7:1", Reason: "too many connections"})
	s.Record(t.Context(), Event{Step: Done, Time: start.Add(time.Hour), Message: "m3", Reason: "everybody has it"})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for term, want := range map[string]int{
		"m3": 1, "<3@A.example>": 1, "3@a.example": 1, "q1d": 1, "ann@a.example": 30, "BOB4@b.example": 3, "192.0.2.9": 30, "192.0.2.1": 30,
		"198.51.100.7": 1, "nobody@b.example": 0, "": 31,
	} {
		if got := s.find(t, Query{Term: term}); len(got) != want {
			t.Errorf("%q finds %d stories, want %d", term, len(got), want)
		}
	}
	story := s.find(t, Query{Term: "m3"})[0]
	if len(story.Events) != 4 || story.Events[0].Step != Received || story.Events[3].Step != Done || story.Events[2].Facts[0].Value != "TLS 1.3" {
		t.Errorf("%+v", story)
	}
	if got := s.find(t, Query{Since: start.Add(10 * time.Minute), Until: start.Add(20 * time.Minute)}); len(got) != 10 || got[0].Message != "m10" {
		t.Errorf("%d stories in ten minutes", len(got))
	}
	if got := s.find(t, Query{Term: "ann@a.example", Limit: 4}); len(got) != 4 || got[3].Message != "m29" {
		t.Errorf("the newest four: %d", len(got))
	}
}

// What is old goes, and what is too much, and nothing of it stays.
func TestPurge(t *testing.T) {
	s := open(t, Options{Keep: time.Hour, MaxOctets: 20_000})
	for i := range 500 {
		way(s, i, start.Add(time.Duration(i)*time.Second))
		if i%10 == 9 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Purge(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	left := len(s.find(t, Query{Term: "ann@a.example", Limit: 1000}))
	if left < 20 || left > 300 || len(s.find(t, Query{Term: "m499"})) != 1 || len(s.find(t, Query{Term: "m0"})) != 0 {
		t.Errorf("%d stories are left", left)
	}
	if _, err := s.Purge(t.Context(), start.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	err := s.db.View(t.Context(), keys.Trace, func(r kv.Reader) error {
		for item := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if item.Key[0] != keys.TraceTotal && item.Key[0] != keys.RefusedTotal || !bytes.Equal(item.Value[1:], make([]byte, 8)) {
				t.Errorf("left behind: %q", item.Key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Long words are clipped, and where there is no room steps are dropped.
func TestBounds(t *testing.T) {
	s := open(t, Options{})
	long := strings.Repeat("\xffé", 10_000)
	for range 50 {
		e := Event{Message: "m", Time: start, Reason: long, Hello: long, From: long}
		for range 500 {
			e.To = append(e.To, long)
			e.Facts = append(e.Facts, Fact{long, long})
		}
		s.Record(t.Context(), e)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.find(t, Query{Term: "m"})
	if e := got[0].Events; len(e) != 50 || len(e[0].Reason) > maxText || len(e[0].To) > maxRecipients || len(e[0].To) < 20 || len(e[0].Facts) < 10 {
		t.Errorf("%d steps, of %d recipients", len(e), len(e[0].To))
	}
	e := Event{Message: "n", Time: start, Reason: strings.Repeat("x", maxText)}
	for range maxWaiting/len(appendStep(nil, &e)) + 10 {
		s.Record(t.Context(), e)
	}
	if s.dropped != 10 || s.desks[ofMail].octets > maxWaiting {
		t.Errorf("%d were dropped, %d octets wait", s.dropped, s.desks[ofMail].octets)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The largest of steps fit into the engine's limits, whatever they hold.
func TestLargest(t *testing.T) {
	random := make([]byte, 3*maxText/4)
	word := func() string {
		_, _ = rand.Read(random)
		return base64.StdEncoding.EncodeToString(random)
	}
	s := open(t, Options{})
	for range 40 {
		e := Event{
			Time: start, Message: "m", MessageID: word(), Queue: word(), Service: word(), Remote: word(), Hello: word(), TLS: word(),
			From: word(), Reason: word(),
		}
		for range maxRecipients {
			e.To = append(e.To, word())
		}
		for range maxFacts {
			e.Facts = append(e.Facts, Fact{word(), word()})
		}
		s.Record(t.Context(), e)
	}
	for i := range 40_000 { // as many words as possible
		s.Record(t.Context(), Event{Time: start, From: fmt.Sprintf("%x", i)})
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.find(t, Query{Term: "m"}); len(got) != 1 || len(got[0].Events) != 40 {
		t.Errorf("%d stories", len(got))
	}
	if got := s.find(t, Query{Term: "9c3f"}); len(got) != 1 {
		t.Errorf("%d stories", len(got))
	}
}

// Fields that a later version has added are passed over.
func TestLater(t *testing.T) {
	b := appendStep(nil, &Event{Step: Filed, Reason: "in INBOX", Time: start})
	b = appendText(b, 99, "something new")
	b = appendNumber(b, 9, 1<<40)
	putLength(b, len(b)-lengthRoom)
	events, err := decodeSteps(b)
	if err != nil || len(events) != 1 || events[0].Reason != "in INBOX" || !events[0].Time.Equal(start) {
		t.Errorf("%+v, %v", events, err)
	}
}

func FuzzDecode(f *testing.F) {
	b := new(block)
	e := Event{Message: "m", Time: start, Facts: []Fact{{"a", "b"}}}
	b.add(&e, appendStep(nil, &e))
	f.Add(b.value())
	b.add(&e, appendStep(nil, &Event{Time: start, Reason: strings.Repeat("again ", 50)}))
	f.Add(b.value())
	f.Fuzz(func(t *testing.T, row []byte) {
		events, err := decode(row)
		if err != nil {
			return
		}
		b := new(block)
		for _, e := range events {
			b.add(&e, appendStep(nil, &e))
		}
		if more, err := decode(b.value()); err != nil || len(more) != len(events) {
			t.Fatalf("%d steps are %d, %v", len(events), len(more), err)
		}
	})
}

// BenchmarkRecord is the three steps of one message, recorded and written.
func BenchmarkRecord(b *testing.B) {
	db, err := pebblekv.Open(b.TempDir(), pebblekv.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := New(db, Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		way(s, i, start)
		if i%600 == 0 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFind looks for one of 100,000 messages.
func BenchmarkFind(b *testing.B) {
	db, err := pebblekv.Open(b.TempDir(), pebblekv.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := New(db, Options{})
	for i := range 100_000 {
		way(s, i, start)
		if i%1000 == 0 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		if found, err := s.Find(b.Context(), Query{Term: "77777@a.example"}); err != nil || len(found) != 1 {
			b.Fatal(len(found), err)
		}
	}
}

// However much strangers are refused, what became of mail stays, and what one
// of them was refused is part of its message's story.
func TestFloodOfRefusals(t *testing.T) {
	s := open(t, Options{MaxOctets: 1 << 20})
	way(s, 1, start)
	s.Record(t.Context(), Event{Step: Refused, Time: start.Add(time.Second), Message: "m1", Remote: "192.0.2.1:4711", Reason: "for one recipient"})
	if story := s.find(t, Query{Term: "m1"}); len(story) != 1 || len(story[0].Events) != 4 || story[0].Events[3].Step != Refused {
		t.Fatalf("%+v", story)
	}
	word := make([]byte, 90)
	for i := range 5000 {
		_, _ = rand.Read(word)
		s.Record(t.Context(), Event{
			Step: Recipient, Time: start.Add(time.Minute + time.Duration(i)*time.Millisecond), Remote: "198.51.100.7:1", Reason: base64.StdEncoding.EncodeToString(word),
		})
		if i%500 == 0 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	way(s, 2, start.Add(time.Hour))
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(t.Context(), start.Add(time.Hour)); err != nil || n == 0 {
		t.Fatalf("%d blocks went, %v", n, err)
	}
	for _, id := range []string{"m1", "m2"} {
		if story := s.find(t, Query{Term: id}); len(story) != 1 || len(story[0].Events) != 3 {
			t.Errorf("of %s there is %+v", id, story)
		}
	}
	n := len(s.find(t, Query{Term: "198.51.100.7", Limit: 5000}))
	if n < 200 || n > 2000 {
		t.Errorf("%d refusals are left", n)
	}
	// All is told in the order of time, whichever shelf it lies on.
	all := s.find(t, Query{Limit: 3})
	if len(all) != 3 || all[2].Message != "m2" || all[0].Message != "" {
		t.Errorf("the newest: %+v", all)
	}
}
