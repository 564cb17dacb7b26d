package trace

import (
	"context"
	"fmt"
	"testing"
)

type counted struct{ all []Event }

func (c *counted) Record(_ context.Context, e Event) { c.all = append(c.all, e) }

// What is refused for one reason is one step, of at most so many recipients;
// and who is refused without end is told of only so often, but with a message
// always.
func TestRefusals(t *testing.T) {
	told := &counted{}
	r := Gather(told)
	for i := range 150 {
		r.Add(Event{From: "a@far.test", Reason: "no such user"}, fmt.Sprintf("user%d@example.test", i))
	}
	r.Add(Event{From: "a@far.test", Reason: "too many"}, "")
	for i := range 100 {
		r.Add(Event{Reason: fmt.Sprintf("reason %d", i)}, "bob@example.test")
	}
	r.Tell(t.Context(), "")
	if len(told.all) != maxRefusals {
		t.Fatalf("%d steps", len(told.all))
	}
	if e := told.all[0]; e.Step != Recipient || len(e.To) != maxRefusedTogether || e.To[1] != "user1@example.test" {
		t.Errorf("%+v", e)
	}
	if e := told.all[1]; e.Step != Refused || e.To != nil {
		t.Errorf("%+v", e)
	}
	for range 1000 {
		r.Add(Event{Reason: "again"}, "bob@example.test")
		r.Tell(t.Context(), "")
	}
	if len(told.all) != maxRefusalsTold {
		t.Errorf("%d steps of one connection", len(told.all))
	}
	r.Add(Event{Reason: "again"}, "bob@example.test")
	r.Tell(t.Context(), "06abc")
	if e := told.all[len(told.all)-1]; len(told.all) != maxRefusalsTold+1 || e.Message != "06abc" {
		t.Errorf("%d steps, at last %+v", len(told.all), e)
	}
}
