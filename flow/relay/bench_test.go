package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/outqueue"
	"waxwing/test/house"
)

// A slowZone takes its time over names that it cannot look up.
type slowZone struct {
	dnstest.Zone
	takes time.Duration
}

func (z slowZone) LookupMX(ctx context.Context, name string) ([]dns.MX, dns.Result, error) {
	if z.Fail[name] {
		select {
		case <-time.After(z.takes):
		case <-ctx.Done():
		}
	}
	return z.Zone.LookupMX(ctx, name)
}

// BenchmarkDeadDomains says how long one message takes to a host that lives,
// from Enqueue to the host: alone, and beside a hundred thousand messages for
// ten thousand dead domains; and what memory those take. The domains are dead at
// once (no answer from DNS, nobody listens), or keep whoever tries them waiting.
func BenchmarkDeadDomains(b *testing.B) {
	b.Run("at once", func(b *testing.B) { benchmarkDead(b, 0) })
	b.Run("silent", func(b *testing.B) { benchmarkDead(b, 2*time.Second) })
}

func benchmarkDead(b *testing.B, takes time.Duration) {
	const messages, domains = 100_000, 10_000
	debug.SetGCPercent(50) // as the program does
	db, err := pebblekv.Open(b.TempDir(), pebblekv.Options{MinFree: -1, CacheSize: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	blobs := memblob.New(0)
	h, far := house.Over(b, db, blobs, slog.New(slog.DiscardHandler)), newHost(b, nil)
	b.Cleanup(func() { _ = h.Mailboxes.Close(); _ = blobs.Close(); _ = db.Close() })
	h.Furnish()
	if takes > 0 {
		silent(b, fmt.Sprintf("127.0.0.2:%d", far.port()))
	}
	world := slowZone{dnstest.Zone{A: map[string][]string{"near.test": {"127.0.0.1"}}, Fail: map[string]bool{}}, takes}
	dead := func(i int) string { return fmt.Sprintf("dead%d.test", i%domains) }
	for i := range domains {
		if i%2 == 0 {
			world.Fail[dead(i)] = true
		} else {
			world.A[dead(i)] = []string{"127.0.0.2"}
		}
	}
	body, err := blob.StageBytes(b.Context(), blobs, []byte(strings.Repeat("Subject: bench\r\n\r\n", 50)))
	if err != nil {
		b.Fatal(err)
	}
	defer body.Close()
	submission := func(from, to string) outqueue.Submission {
		return outqueue.Submission{Message: "m", Body: body, Envelope: mail.Envelope{
			From: house.Address(from), To: []mail.Recipient{{Address: house.Address(to)}},
		}}
	}
	r := relay.New(h.Queue, h.Deliverer, blobs, world, relay.Options{Hostname: house.Hostname, Port: far.port()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() { cancel(); <-done }()

	// The median of some messages, one after the other.
	live := func(n int) time.Duration {
		var took []time.Duration
		for range n {
			before, begun := far.taken(), time.Now()
			if _, err := h.Queue.Enqueue(b.Context(), begun, submission("zoe@elsewhere.test", "carol@near.test")); err != nil {
				b.Fatal(err)
			}
			for far.taken() == before {
				time.Sleep(100 * time.Microsecond)
			}
			took = append(took, time.Since(begun))
			time.Sleep(10 * time.Millisecond)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	live(20)
	alone, before := live(300), resident(b)
	subs := make([]outqueue.Submission, 500)
	for n := 0; n < messages; n += len(subs) {
		for i := range subs {
			subs[i] = submission("ann@a.test", "user@"+dead(n+i))
		}
		if _, err := h.Queue.Enqueue(b.Context(), time.Now(), subs...); err != nil {
			b.Fatal(err)
		}
	}
	worst, most := time.Duration(0), int64(0)
	for range 8 {
		beside, now := live(300), resident(b)
		worst, most = max(worst, beside), max(most, now)
		counts, err := h.Queue.Counts(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d of %d messages tried: one takes %v, %v alone; %d MiB", counts.Deferred, counts.Items, beside, alone, (now-before)>>20)
	}
	b.ReportMetric(float64(worst)/float64(alone), "of-alone")
	b.ReportMetric(float64(most-before)/(1<<20), "MiB")
}

// taken is how many messages the host has.
func (h *host) taken() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// resident gives what the process has of the machine's memory.
func resident(tb testing.TB) int64 {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
