package relay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A hop that answers nobody gets few places, and those who wait for one are
// sent away after a moment, at once when somebody has waited in vain.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(20)
		var seats []*seat
		for range firstPlaces {
			s, err := p.enter(t.Context(), "dead.test")
			if err != nil {
				t.Fatal(err)
			}
			seats = append(seats, s)
		}
		begun := time.Now()
		if _, err := p.enter(t.Context(), "dead.test"); !errors.Is(err, errCrowded) || time.Since(begun) != placePatience {
			t.Errorf("no place: %v after %v", err, time.Since(begun))
		}
		begun = time.Now()
		if _, err := p.enter(t.Context(), "dead.test"); !errors.Is(err, errCrowded) || time.Since(begun) != 0 {
			t.Errorf("still no place: %v after %v", err, time.Since(begun))
		}
		if first, second := p.later("dead.test"), p.later("dead.test"); second <= first {
			t.Errorf("come again after %v and %v", first, second)
		}
		if s, err := p.enter(t.Context(), "live.test"); err != nil {
			t.Errorf("another hop: %v", err)
		} else {
			s.leave(worked, time.Now())
		}

		// One that is given back goes to who waits; success makes more.
		entered := make(chan *seat)
		seats[0].leave(nothing, time.Now())
		seats[0].leave(nothing, time.Now()) // counts once
		seats[0], _ = p.enter(t.Context(), "dead.test")
		for range 2 {
			go func() {
				s, err := p.enter(t.Context(), "dead.test")
				if err != nil {
					t.Error(err)
				}
				entered <- s
			}()
		}
		synctest.Wait()
		seats[0].leave(worked, time.Now())
		for range 2 {
			seats = append(seats, <-entered)
		}
		for _, s := range seats[1:] {
			s.leave(nothing, time.Now())
		}
		time.Sleep(placeMemory + time.Second)
		p.forget(time.Now())
		if len(p.hops) != 0 {
			t.Errorf("%d hops are remembered", len(p.hops))
		}

		// The end of the context ends the wait.
		ctx, cancel := context.WithCancel(t.Context())
		for range firstPlaces {
			if _, err := p.enter(ctx, "x.test"); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if _, err := p.enter(ctx, "x.test"); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// More and more run at once as long as it works, half as many when the hop
// says that it is too much, and one when it cannot be talked to.
func TestPlacesAdapt(t *testing.T) {
	p, now := newPlaces(20), time.Unix(0, 0)
	const destination = 7
	limit := func() int {
		t.Helper()
		var seats []*seat
		for {
			s, _ := p.reserve(destination, now)
			if s == nil {
				break
			}
			seats = append(seats, s)
		}
		for _, s := range seats {
			s.leave(nothing, now)
		}
		return len(seats)
	}
	one := func(how outcome, times int) {
		t.Helper()
		for range times {
			s, _ := p.reserve(destination, now)
			if s == nil {
				t.Fatal("no place")
			}
			s.leave(how, now)
		}
	}
	p.learn(destination, "hop")
	for _, step := range []struct {
		how   outcome
		times int
		after time.Duration
		want  int
		what  string
	}{
		{nothing, 1, 0, firstPlaces, "nothing is known"},
		{worked, 4, 0, 9, "each success adds one"},
		{worked, 40, 0, 20, "up to the most"},
		{slowed, 5, 0, 10, "trouble at one time counts once"},
		{slowed, 1, 2 * time.Second, 5, "half of it is gone"},
		{worked, 5, 0, 5, "then it opens slowly"},
		{worked, 3, 0, 6, "by one for each round"},
		{unreachable, 1, 0, 1, "one probes"},
		{worked, 4, 0, 5, "and it is as in the beginning"},
		{slowed, 1, 2 * time.Second, 2, "half"},
		{slowed, 1, 2 * time.Second, 1, "half"},
		{slowed, 1, 2 * time.Second, 1, "one is the least"},
	} {
		now = now.Add(step.after)
		one(step.how, step.times)
		if got := limit(); got != step.want {
			t.Errorf("%s: %d places, want %d", step.what, got, step.want)
		}
	}
	if p.found(destination) != unreachable || p.found(8) != nothing {
		t.Error("it is not known who is in trouble")
	}
	now = now.Add(time.Minute)
	one(worked, 3)
	if p.found(destination) != worked {
		t.Error("it is not known who takes mail")
	}
}

// Where one transfer at once is allowed, a hop that takes mail is known as such.
func TestOnePlace(t *testing.T) {
	p, now := newPlaces(1), time.Unix(0, 0)
	for _, how := range []outcome{nothing, worked, nothing} {
		s, _ := p.reserve(7, now)
		if s == nil {
			t.Fatal("no place")
		}
		s.leave(how, now)
	}
	if got := p.found(7); got != worked {
		t.Errorf("it is found %d", got)
	}
}

// While a host is down one in a while probes it, less and less often.
func TestDown(t *testing.T) {
	d, now := newDown(10*time.Second), time.Unix(0, 0)
	bad := answer{err: errors.New("no answer")}
	if _, ok := d.trouble("h", now); ok {
		t.Fatal("trouble without any")
	}
	for _, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		d.mark("h", bad, now)
		d.mark("h", bad, now) // found at the same time
		if _, ok := d.trouble("h", now.Add(wait-1)); !ok {
			t.Errorf("it is tried again before %v", wait)
		}
		now = now.Add(wait)
		if _, ok := d.trouble("h", now); ok {
			t.Errorf("nobody probes after %v", wait)
		}
		if _, ok := d.trouble("h", now.Add(time.Hour)); !ok {
			t.Error("two probe at once")
		}
	}
	d.release("h")
	if _, ok := d.trouble("h", now); ok {
		t.Error("after a probe without result nobody probes")
	}
	d.clear("h")
	if _, ok := d.trouble("h", now); ok || len(d.list) != 0 {
		t.Error("it is not forgotten")
	}
	for i := range maxDownNames + 100 {
		d.mark(unknownHop(uint64(i)), bad, now)
	}
	if len(d.list) > maxDownNames {
		t.Errorf("%d hosts are remembered", len(d.list))
	}
}
