//go:build postgres

package pgkv_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/pgkv"
	"waxwing/test/system"
)

// cluster is the server of all tests but those that restart theirs.
var cluster *system.Postgres

func TestMain(m *testing.M) {
	var err error
	if cluster, err = system.StartPostgres(false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	result := m.Run()
	if err := cluster.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(result)
}

// open opens a store that is closed at the end of the test.
func open(t testing.TB, url string) *pgkv.Store {
	t.Helper()
	s, err := pgkv.Open(context.Background(), url, pgkv.Options{Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestLaws(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return open(t, cluster.URL(cluster.NewDatabase(t))) })
}

func TestLawsOverSocket(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return open(t, cluster.SocketURL(cluster.NewDatabase(t))) })
}
