// Package engine gives tests of the rooms above store/kv an empty store to
// stand on: in memory, or, where the environment variable WAXWING_TEST_STORE
// says so, one that is made of something.
//
//	WAXWING_TEST_STORE=pebble:         Pebble, in the test's directory
//	WAXWING_TEST_STORE=postgres://...  PostgreSQL, in a schema of the test's own
//	                                   in the database that the URL names
//
// So the same tests run on all engines ("make postgres").
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/kv/pgkv"
)

// variable says what the stores of tests are made of.
const variable = "WAXWING_TEST_STORE"

// Virtual tells whether stores are in memory, so that tests can stand in a
// bubble of testing/synctest: those that wait for a disk or a network cannot.
func Virtual() bool { return os.Getenv(variable) == "" }

// NeedsBubble skips a test that makes no sense in real time where it would
// have to run in that.
func NeedsBubble(t testing.TB) {
	t.Helper()
	if !Virtual() {
		t.Skip("is about virtual time, and the store is not in memory")
	}
}

// New gives an empty store, which is closed at the end of the test if it has
// not been before.
func New(tb testing.TB) kv.Store {
	tb.Helper()
	var s kv.Store
	var err error
	switch {
	case Virtual():
		return memkv.New()
	case !remote():
		s, err = pebblekv.Open(tb.TempDir(), pebblekv.Options{})
	default:
		s, err = pgkv.Open(context.Background(), URL(tb)+"&pool_max_conns=6", pgkv.Options{})
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func remote() bool { return strings.HasPrefix(os.Getenv(variable), "postgres") }

// URL names an empty store for a program to open, until the test ends. It is
// empty where the program's own default is what is wanted.
func URL(tb testing.TB) string {
	tb.Helper()
	if !remote() {
		return ""
	}
	schema := "test_" + strings.ToLower(rand.Text())
	execute(tb, "create schema "+schema)
	tb.Cleanup(func() { execute(tb, "drop schema "+schema+" cascade") })
	u, err := url.Parse(os.Getenv(variable))
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// execute runs a statement in the database of all tests.
func execute(tb testing.TB, sql string) {
	tb.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, os.Getenv(variable))
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql); err != nil {
		tb.Errorf("%s: %v", sql, err)
	}
}
