package relay_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/flow/relay"
	"waxwing/store/trace"
	"waxwing/test/house"
)

// A story is the steps that a relay tells.
type story struct {
	mu     sync.Mutex
	events []trace.Event // guarded by mu
}

func (s *story) Record(_ context.Context, e trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// of gives the steps of a message, each with its reason.
func (s *story) of(message string) (steps []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Message == message {
			steps = append(steps, e.Step.String()+" "+e.Reason+" "+strings.Join(e.To, " "))
		}
	}
	return steps
}

// That the sender is told of a failure is told, behind the failure; and what
// nobody said is said once.
func TestNotificationsAreTold(t *testing.T) {
	h, told := house.New(t), &story{}
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, zone, relay.Options{
		Hostname: house.Hostname, Port: 1, Schedule: relay.Schedule{First: time.Millisecond, Lifetime: time.Millisecond}, Log: h.Log, Trace: told,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	enqueue(t, h, text, "carol@near.test") // where nobody listens
	eventually(t, "the end", func() bool {
		return len(h.Queued()) == 0 && slices.ContainsFunc(told.of("m"), func(s string) bool { return strings.HasPrefix(s, "done") })
	})
	cancel()
	running.Wait()
	steps := told.of("m")
	for len(steps) > 0 && strings.HasPrefix(steps[0], "deferred") { // how often is not certain
		steps = steps[1:]
	}
	if len(steps) != 3 || !strings.HasPrefix(steps[0], "failed") || !strings.HasPrefix(steps[1], "notified a notification is on its way, as message ") ||
		!strings.HasSuffix(steps[1], " alice@example.test") || !strings.HasPrefix(steps[2], "done") {
		t.Errorf("%q", steps)
	}
	if strings.Count(steps[0], "connection refused") != 1 {
		t.Errorf("said: %s", steps[0])
	}
}
