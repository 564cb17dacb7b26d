package relay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A domain that answers nobody gets few places, and those who wait for one
// are sent away after a moment, at once when somebody has waited in vain.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(20)
		var leaves []func(bool)
		for range fewPlaces {
			leave, err := p.enter(t.Context(), "dead.test")
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
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
		if leave, err := p.enter(t.Context(), "live.test"); err != nil {
			t.Errorf("another domain: %v", err)
		} else {
			leave(true)
		}

		// One that is given back goes to who waits; success makes more.
		entered := make(chan func(bool))
		leaves[0](false)
		leaves[0], _ = p.enter(t.Context(), "dead.test")
		for range 5 {
			go func() {
				leave, err := p.enter(t.Context(), "dead.test")
				if err != nil {
					t.Error(err)
				}
				entered <- leave
			}()
		}
		synctest.Wait()
		leaves[0](true)
		for range 5 {
			leaves = append(leaves, <-entered)
		}
		for _, leave := range leaves[1:] {
			leave(false)
		}
		if len(p.domains) != 0 {
			t.Errorf("%d domains are remembered", len(p.domains))
		}

		// The end of the context ends the wait.
		ctx, cancel := context.WithCancel(t.Context())
		for range fewPlaces {
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
