package app

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/app/config"
)

// One record is written at once, many together soon after, and a warning with
// all that came before it.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := new(countedWrites)
		log, _, lines := newLog(written, config.Log{})
		expect := func(writes int, last string) {
			t.Helper()
			synctest.Wait()
			written.mu.Lock()
			defer written.mu.Unlock()
			if written.writes != writes || !strings.Contains(written.last, last) {
				t.Errorf("%d writes, the last is %q", written.writes, written.last)
			}
		}
		log.Info("alone")
		expect(1, "alone")
		for i := range 10 {
			log.Info(fmt.Sprint("many-", i))
		}
		expect(1, "alone")
		time.Sleep(lineEvery)
		expect(2, "many-9")
		log.Info("more")
		log.Warn("careful")
		expect(3, "careful")
		log.Info(strings.Repeat("x", lineRoom))
		expect(4, "xxx")
		log.With("a", 1).WithGroup("g").Info("in the end")
		expect(4, "xxx")
		lines.flush()
		expect(5, "in the end")
		time.Sleep(time.Minute)
		expect(5, "in the end")
		log.Info("later")
		expect(6, "later")
	})
}

type countedWrites struct {
	logBuffer
	writes int
	last   string
}

func (w *countedWrites) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	w.last = string(p)
	return len(p), nil
}
