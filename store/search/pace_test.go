package search

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While mail arrives, a worker leaves three quarters of the time to others.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := New(nil, nil, Options{})
		// work is what a worker does for a while.
		work := func(p *Pace, took time.Duration) (waited time.Duration) {
			time.Sleep(took)
			start := time.Now()
			if err := p.Yield(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		p := x.Pace()
		if waited := work(&p, time.Minute); waited != 0 {
			t.Errorf("with no mail arriving it waits %v", waited)
		}
		for _, tt := range []struct{ took, wait time.Duration }{
			{time.Millisecond, 0}, {time.Millisecond, 6 * time.Millisecond}, // together
			{5 * time.Millisecond, 15 * time.Millisecond}, {100 * time.Millisecond, 300 * time.Millisecond}, {time.Second, time.Second},
		} {
			time.AfterFunc(tt.took, func() { x.Arrived(1) })
			start := time.Now()
			time.Sleep(tt.took)
			synctest.Wait()
			if err := p.Yield(t.Context()); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(start) - tt.took; waited != tt.wait {
				t.Errorf("after %v it waits %v, not %v", tt.took, waited, tt.wait)
			}
		}
		time.Sleep(2 * busyFor)
		if waited := work(&p, 20*time.Millisecond); waited != 0 {
			t.Errorf("after the last mail it waits %v", waited)
		}
		x.Arrived(1)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := p.Yield(ctx); err == nil {
			t.Error("it goes on where nobody wants it to")
		}
	})
}
