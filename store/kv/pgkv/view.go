package pgkv

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/store/kv"
)

// A view is one transaction that reads. It begins, and has its snapshot, with
// the first read, in the same round trip. That would show commits that were
// made after the view's function began; so whoever in this process is going to
// write to the partition gives those who have no snapshot yet theirs (lazy).
type view struct {
	s   *Store
	ctx context.Context // the caller's
	p   kv.Partition

	mu   sync.Mutex // guards what follows
	conn *pgxpool.Conn
	err  error // nothing more can be read
}

// begins is how often a transaction is begun before its caller hears that the
// connection fails.
const begins = 3

const beginView = "begin isolation level repeatable read read only"

// View implements kv.Store.
func (s *Store) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	v := &view{s: s, ctx: ctx, p: p}
	s.addLazy(v)
	defer v.end()
	return fn(&reader{ctx: ctx, from: v, p: p})
}

func (s *Store) addLazy(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy[v.p] == nil {
		s.lazy[v.p] = make(map[*view]struct{})
	}
	s.lazy[v.p][v] = struct{}{}
}

func (s *Store) removeLazy(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.lazy[v.p]; of != nil {
		delete(of, v)
		if len(of) == 0 {
			delete(s.lazy, v.p)
		}
	}
}

// errEnded says that a view's function has returned.
var errEnded = errors.New("view has ended")

// fixViews gives all views of p their snapshots.
func (s *Store) fixViews(p kv.Partition) {
	s.mu.Lock()
	views := s.lazy[p]
	delete(s.lazy, p)
	s.mu.Unlock()
	for v := range views {
		v.mu.Lock()
		if v.conn == nil && v.err == nil {
			var none rows
			v.err = v.begin(v.ctx, query{"select null::bytea, null::bytea", nil}, &none)
		}
		v.mu.Unlock()
	}
}

func (v *view) read(ctx context.Context, q query, into *rows) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return v.err
	}
	if v.conn == nil {
		v.s.removeLazy(v)
		v.err = v.begin(ctx, q, into)
		return v.err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	r, err := v.conn.Query(ctx, q.sql, q.args...)
	if err == nil {
		err = into.take(r)
	}
	v.s.noteLoss(err)
	v.err = err
	return err
}

// begin begins the transaction with its first query. A connection that turns
// out to be dead is no reason to fail.
func (v *view) begin(ctx context.Context, q query, into *rows) (err error) {
	for n := range begins {
		if n > 0 && !pause(ctx, n) {
			return ctx.Err()
		}
		if v.conn, err = v.s.acquire(ctx); err != nil {
			v.conn = nil
			return err
		}
		var b pgx.Batch
		b.Queue(beginView)
		b.Queue(q.sql, q.args...)
		if err = v.s.run(ctx, statementTimeout, v.conn, &b, func(r pgx.BatchResults) error {
			if _, err := r.Exec(); err != nil {
				return err
			}
			return takeNext(r, into)
		}); err == nil {
			return nil
		}
		if ctx.Err() != nil || !lost(err) && !conflicts(err) {
			return err
		}
		discard(v.conn)
		v.conn = nil
	}
	return err
}

func (v *view) end() {
	v.s.removeLazy(v)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = errEnded
	if v.conn != nil {
		v.s.giveBack(v.conn)
	}
}

// takeNext keeps the rows of a batch's next statement.
func takeNext(from pgx.BatchResults, into *rows) error {
	r, err := from.Query()
	if err != nil {
		return err
	}
	return into.take(r)
}

// run sends a batch in one round trip and hands its results to fn. The
// database takes no longer than limit for it.
func (s *Store) run(ctx context.Context, limit time.Duration, c *pgxpool.Conn, b *pgx.Batch, fn func(pgx.BatchResults) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit+networkTimeout)
	defer cancel()
	results := c.SendBatch(ctx, b)
	err := fn(results)
	if e := results.Close(); err == nil {
		err = e
	}
	s.noteLoss(err)
	return err
}
