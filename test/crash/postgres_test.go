//go:build crash

package crash

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"waxwing/test/system"
	"waxwing/test/traffic"
)

// The database crashes, stays away for a while and comes back, while everybody
// works: all is put off meanwhile, and goes on by itself.
func TestPostgreSQLRestarts(t *testing.T) {
	db, err := system.StartPostgres(true)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", db.Log())
		}
		if err := db.Remove(); err != nil {
			t.Error(err)
		}
	})
	w := startTown(t, filepath.Join(t.TempDir(), "waxwing"), "--store", db.URL(db.NewDatabase(t)), "--take-over", "5s")
	stop := w.people()
	for range max(2, kills()/5) {
		w.progress(traffic.Kinds...)
		if err := db.Crash(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w.progress(traffic.Kinds...)
	stop()
	w.check()
}
