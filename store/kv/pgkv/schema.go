package pgkv

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waxwing/obs"
)

// The files 0001.sql, 0002.sql … each bring the tables from one format to the
// next.
//
//go:embed schema/*.sql
var schema embed.FS

// format is the newest format of the tables that this code knows.
const format = 1

const (
	createFormat = `create table if not exists waxwing (
  one    integer not null, -- there is one row
  format integer not null, -- how far the files in schema have been applied
  store  text    not null, -- tells this store from others
  primary key (one)
)`
	insertFormat = `insert into waxwing (one, format, store) values (1, 0, $1) on conflict (one) do nothing`
	lockFormat   = `select format, store from waxwing where one = 1 for update`
	setFormat    = `update waxwing set format = $1 where one = 1`
)

// startTimeout is how long a database that is just starting is waited for.
const startTimeout = 30 * time.Second

// prepare makes the tables what this code expects, and gives the store's id.
func (s *Store) prepare(ctx context.Context) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for n := 1; ; n++ {
		id, err = s.migrate(ctx)
		switch {
		case err == nil:
			return id, nil
		case code(err) == cannotConnectNow, conflicts(err):
		case code(err) == uniqueViolation, code(err) == duplicateTable, code(err) == duplicateObject:
			// Another process makes the same table at the same time. Which of
			// its catalogue rows PostgreSQL finds first (the row type of the
			// table is one) decides between the three.
		default:
			return "", err
		}
		if !pause(ctx, n) {
			return "", err
		}
	}
}

func (s *Store) migrate(ctx context.Context) (id string, err error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer s.giveBack(c)
	var fsync string
	if c.QueryRow(ctx, "show fsync").Scan(&fsync) == nil && fsync == "off" {
		s.log.Warn("the database runs with fsync = off: mail will be lost when its machine fails")
	}
	found := 0
	err = c.QueryRow(ctx, "select format, store from waxwing where one = 1").Scan(&found, &id)
	if err == nil && found == format {
		return id, nil
	}
	if code(err) == undefinedTable || err == pgx.ErrNoRows {
		id = newID()
		if _, err := c.Exec(ctx, createFormat); err != nil {
			return "", fmt.Errorf("make the tables: %w", err)
		}
		_, err = c.Exec(ctx, insertFormat, id)
	}
	if err != nil {
		return "", err
	}
	err = pgx.BeginTxFunc(ctx, c, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// One process at a time.
		if err := tx.QueryRow(ctx, lockFormat).Scan(&found, &id); err != nil {
			return err
		}
		return apply(ctx, tx, found)
	})
	if err != nil {
		return "", err
	}
	if found < format {
		s.log.Info("tables have been made", "format", format)
		s.tune(ctx, c.Conn())
	}
	return id, nil
}

func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// apply runs the files that have not been applied.
func apply(ctx context.Context, tx pgx.Tx, from int) error {
	if from > format {
		return fmt.Errorf("the tables have format %d, and this version of the program knows %d at most", from, format)
	}
	for n := from + 1; n <= format; n++ {
		sql, err := fs.ReadFile(schema, fmt.Sprintf("schema/%04d.sql", n))
		if err != nil {
			return err
		}
		if err := tx.Conn().PgConn().Exec(ctx, string(sql)).Close(); err != nil {
			return fmt.Errorf("make the tables, format %d: %w", n, err)
		}
	}
	_, err := tx.Exec(ctx, setFormat, format)
	return err
}

// tune sets what the tables can do without.
func (s *Store) tune(ctx context.Context, c *pgx.Conn) {
	sql, err := fs.ReadFile(schema, "schema/tuning.sql")
	if err != nil {
		return
	}
	for statement := range strings.SplitSeq(string(sql), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := c.Exec(ctx, statement); err != nil {
			s.log.Debug("table not tuned", obs.Err, err)
		}
	}
}
