package pgkv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// Options are the parts of a Store that its URL does not say.
type Options struct {
	Log *slog.Logger // nil for none
}

// A Store is a kv.Store on PostgreSQL.
type Store struct {
	log      *slog.Logger
	pool     *pgxpool.Pool
	id       string // tells this store from others
	gate     engine.Gate
	watchers engine.Watchers
	news     news

	writer writer        // who we are in the rows of part
	serial atomic.Uint64 // the last transaction of ours that was given a number
	failed atomic.Int64  // when a connection was last lost, as Unix nanoseconds

	looks   rounds[*look]
	pushes  rounds[*push]
	unswift atomic.Bool // the database does not know how
	recalls recall

	mu      sync.Mutex                 // guards what follows
	careful map[kv.Partition]time.Time // until when their updates lock first
	queues  map[kv.Partition]*queue
	lazy    map[kv.Partition]map[*view]struct{} // views without a snapshot

	stop       context.CancelFunc // ends what runs in the background
	background sync.WaitGroup
}

// A writer is a Store that is, or was, open in some process.
type writer [8]byte

var _ kv.Store = (*Store)(nil)

// Open opens the store that url (postgres://…) names. It makes the tables if
// there are none. The caller closes the store.
//
// The URL is libpq's, with pool_max_conns and the other pool_* parameters of
// pgxpool.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{log: o.Log, queues: make(map[kv.Partition]*queue), lazy: make(map[kv.Partition]map[*view]struct{})}
	rand.Read(s.writer[:])
	s.careful = make(map[kv.Partition]time.Time)
	s.looks = rounds[*look]{run: s.lookRound, weigh: (*look).octets, start: s.background.Go}
	s.pushes = rounds[*push]{run: s.pushRound, weigh: (*push).octets, start: s.background.Go}
	config, err := s.configure(url)
	if err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	id, err := s.prepare(ctx)
	if err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	s.id = id
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.news.start(s, id)
	s.background.Go(func() { s.news.listen(running) })
	s.background.Go(func() { s.news.send(running) })
	return s, nil
}

// Watch implements kv.Store.
func (s *Store) Watch(ctx context.Context, p kv.Partition) (<-chan kv.Version, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.news.watch(ctx, p)
}

const listPartitions = `select partition from part
 where partition >= $1 and partition <= $2
   and (select true from kv where kv.partition = part.partition limit 1)
 order by partition limit 1000`

// Partitions implements kv.Store.
func (s *Store) Partitions(ctx context.Context, from kv.Partition) iter.Seq2[kv.Partition, error] {
	return func(yield func(kv.Partition, error) bool) {
		if err := s.gate.Enter(); err != nil {
			yield(0, err)
			return
		}
		defer s.gate.Leave()
		// Those with the top bit are negative in the table, and come last here.
		if from <= math.MaxInt64 {
			if !s.partitions(ctx, int64(from), math.MaxInt64, yield) {
				return
			}
			from = 1 << 63
		}
		s.partitions(ctx, int64(from), -1, yield)
	}
}

// partitions tells whether to go on.
func (s *Store) partitions(ctx context.Context, from, to int64, yield func(kv.Partition, error) bool) bool {
	for {
		page, err := s.partitionPage(ctx, from, to)
		if err != nil {
			yield(0, explain(ctx, "list partitions", err))
			return false
		}
		for _, p := range page {
			if err := ctx.Err(); err != nil {
				yield(0, err)
				return false
			}
			if !yield(kv.Partition(p), nil) {
				return false
			}
			if p == to {
				return true
			}
			from = p + 1
		}
		if len(page) == 0 {
			return true
		}
	}
}

func (s *Store) partitionPage(ctx context.Context, from, to int64) (page []int64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.giveBack(c)
	rows, _ := c.Query(ctx, listPartitions, from, to) // its error comes from the rows too
	page, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	s.noteLoss(err)
	return page, err
}

// Checkpoint implements kv.Store, except that the database's own tools make
// its copies: it always fails with errors.ErrUnsupported.
func (s *Store) Checkpoint(context.Context, string) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	return fmt.Errorf("copy the database with pg_dump or as a base backup: %w", errors.ErrUnsupported)
}

// Limits implements kv.Store.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits }

// Close implements kv.Store.
func (s *Store) Close() error {
	if err := s.gate.Close(); err != nil {
		return err
	}
	s.stop()
	s.background.Wait()
	s.watchers.Close()
	s.pool.Close()
	return nil
}
