package pebblekv

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A waitingDB has one compaction to do at most.
type waitingDB struct {
	what pebble.WaitingCompaction

	mu    sync.Mutex // guards what follows
	waits bool
	begun []time.Time
}

func (db *waitingDB) GetAllowedWithoutPermission() int { return 1 }

func (db *waitingDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.waits, db.what
}

func (db *waitingDB) Schedule(pebble.CompactionGrantHandle) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.begin()
	return true
}

func (db *waitingDB) begin() {
	db.waits = false
	db.begun = append(db.begun, time.Now())
}

// find finds something to do, as Pebble does: with its lock held.
func (db *waitingDB) find(c *compactor) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if may, _ := c.TrySchedule(); may {
		db.begin()
	} else {
		db.waits = true
	}
}

// While there is much to write, what is not urgent is put off until there is
// not, however many flushes come meanwhile.
func TestCompactionsWait(t *testing.T) {
	for _, tt := range []struct {
		name    string
		what    pebble.WaitingCompaction
		flushes []time.Duration // after the start
		want    time.Duration   // when it begins
	}{
		{"at rest", pebble.WaitingCompaction{Priority: 80, Score: 1}, nil, 10 * time.Second},
		{"much to write", pebble.WaitingCompaction{Priority: 80, Score: 2.5}, []time.Duration{9 * time.Second}, 14 * time.Second},
		{"more and more", pebble.WaitingCompaction{Priority: 80, Score: 2.5}, []time.Duration{9 * time.Second, 12 * time.Second, 16 * time.Second}, 21 * time.Second},
		{"too much", pebble.WaitingCompaction{Priority: 80, Score: 9}, []time.Duration{
			9 * time.Second, 12 * time.Second, 14 * time.Second, 16 * time.Second, 18 * time.Second, 20 * time.Second,
		}, 20 * time.Second},
		{"asked for", pebble.WaitingCompaction{Priority: 70, Score: 0}, []time.Duration{9 * time.Second}, 10 * time.Second},
		{"optional", pebble.WaitingCompaction{Optional: true, Priority: 60, Score: 9}, []time.Duration{9 * time.Second}, 14 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, c := &waitingDB{what: tt.what}, newCompactor()
				c.Register(1, db)
				ending, ended := make(chan struct{}), make(chan struct{})
				start := time.Now()
				go func() { defer close(ended); c.run(ending) }()
				const found = 10 * time.Second
				for at := time.Duration(0); at <= time.Minute; at += 500 * time.Millisecond {
					for _, f := range tt.flushes {
						if at == f {
							c.flushes()
							c.UpdateGetAllowedWithoutPermission()
						}
					}
					if at == found {
						db.find(c)
					}
					synctest.Wait()
					time.Sleep(500 * time.Millisecond)
				}
				close(ending)
				<-ended
				if len(db.begun) != 1 || db.begun[0].Sub(start) != tt.want {
					t.Errorf("begun at %v after %v, want %v", db.begun, start, tt.want)
				}
			})
		})
	}
}
