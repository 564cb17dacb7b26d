package outqueue_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/store/outqueue"
	"waxwing/test/engine"
)

// A result waits a moment for the sync of a message that comes, so that one does
// for both; many results wait for nobody.
func TestCompany(t *testing.T) {
	engine.NeedsBubble(t)
	synctest.Test(t, func(t *testing.T) {
		r := open(t, outqueue.Options{Shards: 1})
		for range 20 {
			r.enqueue(t, time.Now(), r.submission(t, 10, "a@b.example"))
		}
		leases := r.due(t, time.Now(), 20)
		settle := func(n int) time.Duration {
			begun := time.Now()
			var all sync.WaitGroup
			for _, l := range leases[:n] {
				all.Go(func() { r.result(t, time.Now(), l, delivered) })
			}
			leases = leases[n:]
			all.Wait()
			return time.Since(begun)
		}
		alone := settle(1)
		if alone == 0 || alone > time.Millisecond {
			t.Errorf("alone it waits %v", alone)
		}
		var coming sync.WaitGroup
		coming.Go(func() {
			time.Sleep(alone / 5)
			r.enqueue(t, time.Now(), r.submission(t, 10, "a@b.example"))
		})
		if took := settle(1); took != alone/5 {
			t.Errorf("with a message that comes after %v it waits %v", alone/5, took)
		}
		coming.Wait()
		if took := settle(8); took != 0 {
			t.Errorf("many wait %v", took)
		}
		if took := settle(1); took != alone {
			t.Errorf("the next waits %v", took)
		}
		if c, err := r.Counts(t.Context()); err != nil || c.Items != 10 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
