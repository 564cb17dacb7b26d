package backup_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob/fsblob"
	"waxwing/store/kv/pebblekv"
)

// How fast a store on disk is backed up into a directory, through the stream
// of the server, and what that does to deliveries: their p99 without a backup
// and with one, measured in the same minute.
func BenchmarkBackup(b *testing.B) {
	dir := b.TempDir()
	db, err := pebblekv.Open(filepath.Join(dir, "store"), pebblekv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	blobs, err := fsblob.Open(filepath.Join(dir, "blobs"), fsblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer blobs.Close()
	tracker, held := backup.Track(db), backup.Hold(blobs)
	h := newHouse(b, tracker, held)
	const accounts, messages = 8, 1200
	fillMuch(b, h, accounts, messages)
	local := &backup.Local{DB: tracker, Blobs: held, Hold: held.Hold, Pace: tracker.Pace}
	b.Run("alone", func(b *testing.B) { benchRun(b, local) })
	b.Run("with deliveries", func(b *testing.B) {
		alone := deliveries(b, h, func() { time.Sleep(3 * time.Second) })
		both := deliveries(b, h, func() { benchRun(b, local) })
		b.ReportMetric(float64(alone.Microseconds())/1000, "ms-p99-without")
		b.ReportMetric(float64(both.Microseconds())/1000, "ms-p99-with")
	})
}

// fillMuch gives accounts messages of 16 KiB.
func fillMuch(b *testing.B, h *house, accounts, messages int) {
	b.Helper()
	var work sync.WaitGroup
	for id := range accounts {
		writer := &house{db: h.db, blobs: h.blobs, mailboxes: h.mailboxes, random: seeded(uint64(id))}
		work.Go(func() {
			for range messages {
				writer.deliver(b, mail.AccountID(id+1), writer.text(16<<10))
			}
		})
	}
	work.Wait()
}

func benchRun(b *testing.B, source backup.Source) {
	b.Helper()
	var read uint64
	var took time.Duration
	before := processorTime(b)
	for b.Loop() {
		s := newDesk(b).run(b, streamed{source.(*backup.Local)}, backup.Options{})
		read, took = read+s.Read, took+s.Finished.Sub(s.Time)
	}
	b.ReportMetric(float64(read)/1e6/took.Seconds(), "MB/s")
	b.ReportMetric((processorTime(b)-before).Seconds()/(float64(read)/1e9), "cpu-s/GB")
}

// processorTime gives what the process has used so far: what others do on the
// machine does not change it much.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// deliveries delivers from a few sides while fn runs, and gives the p99.
func deliveries(b *testing.B, h *house, fn func()) time.Duration {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	var took []time.Duration
	var work sync.WaitGroup
	for id := range 4 {
		writer := &house{db: h.db, blobs: h.blobs, mailboxes: h.mailboxes, random: seeded(uint64(time.Now().UnixNano()))}
		work.Go(func() {
			for ctx.Err() == nil {
				text := writer.text(8 << 10)
				began := time.Now()
				writer.deliver(b, mail.AccountID(id+1), text)
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	fn()
	stop()
	work.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
