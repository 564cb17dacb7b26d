package outqueue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

const (
	// sweepEvery is how often Run looks for bodies that nobody names.
	sweepEvery = 6 * time.Hour
	// sweepAge spares bodies whose item may be on its way.
	sweepAge = 24 * time.Hour
)

// Run keeps house until ctx ends, which it gives as its error: it wakes the
// receiver of Wake after changes by other processes too, and sweeps up bodies
// that a crash has left. One process alone works without it.
func (q *Queue) Run(ctx context.Context) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	var watchers sync.WaitGroup
	defer watchers.Wait()
	for shard := range shards {
		if !q.o.Shared {
			break // who changes something here says so
		}
		changes, err := q.db.Watch(ctx, partition(shard))
		if err != nil {
			return fmt.Errorf("watch queue: %w", err)
		}
		watchers.Go(func() {
			for range changes {
				q.stir()
			}
		})
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := q.Sweep(ctx, time.Now().Add(-sweepAge)); err != nil && ctx.Err() == nil {
			q.o.Log.Warn("sweep of the queue's bodies failed", obs.Err, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sweep removes large bodies from before a time that no item has.
func (q *Queue) Sweep(ctx context.Context, before time.Time) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	for shard := range shards {
		named := func(sum blob.Sum) (named bool, err error) {
			err = q.db.View(ctx, partition(shard), func(r kv.Reader) error {
				n, err := claims(r, sum)
				named = n > 0
				return err
			})
			return named, err
		}
		n, octets, err := blob.Sweep(ctx, q.blobs, owner(shard), before, named)
		if err != nil {
			return fmt.Errorf("sweep queue: %w", err)
		}
		if n > 0 {
			q.o.Log.Info("bodies of the queue swept up", "count", n, "size", int64(octets))
		}
	}
	return nil
}
