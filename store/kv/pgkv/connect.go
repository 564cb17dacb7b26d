package pgkv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/obs"
)

// How long the database may take. It gives up a statement, a wait for another
// process's transaction, and a transaction whose process has gone silent, by
// itself; we wait a little longer, for the case that the network is dead.
const (
	statementTimeout = 60 * time.Second
	deletionTimeout  = 15 * time.Minute // of a range: perhaps all that an account has
	lockTimeout      = 20 * time.Second
	silenceTimeout   = 60 * time.Second
	answerTimeout    = statementTimeout + networkTimeout
	networkTimeout   = 5 * time.Second
	acquireTimeout   = 20 * time.Second
	connectTimeout   = 10 * time.Second
)

// defaultConns is how many connections a process has at most, unless the URL
// says pool_max_conns. PostgreSQL takes 100 in all by default.
const defaultConns = 24

// parse reads a URL and adds our defaults.
func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultConns
	}
	if config.MaxConns < 2 {
		return nil, fmt.Errorf("PostgreSQL: pool_max_conns: at least 2")
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "waxwing"
	}
	return config, nil
}

func (s *Store) configure(url string) (*pgxpool.Config, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	config.AfterConnect = s.setUp
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool {
		// After a connection was lost the others may be dead too.
		return p.IdleDuration > time.Second || p.IdleDuration > time.Since(time.Unix(0, s.failed.Load()))
	}
	config.PingTimeout = 5 * time.Second
	return config, nil
}

// setUp makes a new connection ours.
func (s *Store) setUp(ctx context.Context, c *pgx.Conn) error {
	err := c.PgConn().Exec(ctx, fmt.Sprintf(
		"set statement_timeout = %d; set lock_timeout = %d; set idle_in_transaction_session_timeout = %d",
		statementTimeout.Milliseconds(), lockTimeout.Milliseconds(), silenceTimeout.Milliseconds())).Close()
	if err != nil {
		return err
	}
	// What only PostgreSQL knows may fail. All that we do goes along an index;
	// plans are made when the tables are small and kept when they are not.
	for _, sql := range []string{
		"select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
		"set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off",
	} {
		if err := c.PgConn().Exec(ctx, sql).Close(); err != nil && !refused(err) {
			return err
		}
	}
	return nil
}

// acquire gives a connection, which goes back by giveBack.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	c, err := s.pool.Acquire(waiting)
	if err != nil {
		s.noteLoss(err)
		if ctx.Err() == nil && waiting.Err() != nil {
			return nil, fmt.Errorf("%w within %v (all %d are in use, or it does not answer): %w",
				errBusy, acquireTimeout, s.pool.Config().MaxConns, err)
		}
	}
	return c, err
}

// noteLoss makes the pool look at connections before it hands them out.
func (s *Store) noteLoss(err error) {
	if lost(err) {
		s.failed.Store(time.Now().UnixNano())
	}
}

// giveBack ends whatever transaction a connection has open, which nobody waits
// for.
func (s *Store) giveBack(c *pgxpool.Conn) {
	if c.Conn().IsClosed() || c.Conn().PgConn().TxStatus() == 'I' {
		c.Release()
		return
	}
	s.background.Go(func() {
		defer c.Release() // destroys it where that has failed
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := c.Exec(ctx, "rollback"); err != nil {
			s.log.Debug("end of a transaction failed", obs.Err, err)
		}
	})
}

// discard closes a connection of which we want to hear nothing more.
func discard(c *pgxpool.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // without a farewell
	c.Conn().Close(ctx)
	c.Release()
}

// pause waits before attempt n+1, a little longer each time, and never as long
// as others do. It tells whether ctx still goes on.
func pause(ctx context.Context, n int) bool {
	d := min(10*time.Millisecond<<min(n, 10), time.Second)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
