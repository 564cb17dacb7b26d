package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/app"
	"waxwing/app/config"
	"waxwing/serve/adminapi"
)

// A house is the whole program in this process, so that benchmarks can be
// profiled: what the profile shows of this package is the client.
type house struct {
	smtp, imap string
	data       string
	user       func(i int) string
}

const housePassword = "waxwing-bench"

// open opens a house on the disk with 64 accounts.
func open(b *testing.B) house {
	b.Helper()
	return openWith(b, 64, func(*config.Config) {})
}

// settings is the configuration of a house, with a directory of its own.
func settings(b *testing.B) config.Config {
	c := config.Default()
	c.Hostname, c.Data = "mx.example.test", filepath.Join(b.TempDir(), "data")
	free := []string{"127.0.0.1:0"}
	c.Listen = config.Listen{MX: free, IMAP: free, HTTPS: free}
	c.TLS.Source = config.SourceOwnCA
	return c
}

// run runs what a configuration says, until stop is called.
func run(b *testing.B, c config.Config) (stop func()) {
	b.Helper()
	a, err := app.Open(c, app.Options{Log: io.Discard, PlaintextLogins: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	}
}

// openWith opens one with so many accounts, and a configuration that is a little
// different.
func openWith(b *testing.B, accounts int, change func(*config.Config)) house {
	b.Helper()
	c := settings(b)
	change(&c)
	b.Cleanup(run(b, c))
	return furnished(b, c, accounts)
}

// furnished gives a house that runs its domain and so many accounts.
func furnished(b *testing.B, c config.Config, accounts int) house {
	b.Helper()
	ctx := b.Context()
	h := house{data: c.Data, user: func(i int) string { return fmt.Sprintf("user%02d@example.test", i%64) }}
	admin := adminapi.NewClient(c.Data)
	if _, err := admin.AddDomain(ctx, adminapi.Domain{Name: "example.test"}); err != nil {
		b.Fatal(err)
	}
	for i := range accounts {
		if _, err := admin.AddAccount(ctx, adminapi.NewAccount{Address: h.user(i), Password: housePassword}); err != nil {
			b.Fatal(err)
		}
	}
	status, err := admin.Status(ctx)
	if err != nil {
		b.Fatal(err)
	}
	h.smtp, h.imap = loopback(b, status.Listeners["mx"]), loopback(b, status.Listeners["imap"])
	return h
}

func loopback(b *testing.B, addrs []string) string {
	b.Helper()
	if len(addrs) == 0 {
		b.Fatal("no such listener")
	}
	if _, _, err := net.SplitHostPort(addrs[0]); err != nil {
		b.Fatal(err)
	}
	return addrs[0]
}

// BenchmarkDelivery sends mail over sockets and waits until it is durable.
func BenchmarkDelivery(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, connections := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("size=%dKiB/connections=%d", size>>10, connections), func(b *testing.B) {
				benchmarkLoad(b, smtpLoad{connections: connections, size: size})
			})
		}
	}
}

// BenchmarkOnePerConnection is the same with one message on each connection.
func BenchmarkOnePerConnection(b *testing.B) {
	for _, connections := range []int{16, 64} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			benchmarkLoad(b, smtpLoad{connections: connections, size: 4 << 10, fresh: true})
		})
	}
}

// benchmarkLoad sends b.N messages to a house of their own.
func benchmarkLoad(b *testing.B, load smtpLoad) {
	h := open(b)
	load.addr, load.messages, load.rcpt = h.smtp, b.N, h.user
	b.SetBytes(int64(load.size))
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	r, err := load.run()
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(r.perSecond(), "msg/s")
	b.ReportMetric(float64(r.median.Microseconds())/1000, "ms/median")
}

// BenchmarkIMAP runs commands on a mailbox of 2,000 messages of 8 KiB.
func BenchmarkIMAP(b *testing.B) {
	const messages = 2000
	h := open(b)
	c, err := dialIMAP(h.imap, h.user(0), housePassword, 256<<10)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	text := payload(8 << 10)
	if err := c.fill(0, messages, text); err != nil {
		b.Fatal(err)
	}
	if _, err := c.do("SELECT INBOX"); err != nil {
		b.Fatal(err)
	}
	for _, command := range []string{
		"SELECT INBOX", "FETCH 1:* (UID FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)",
		"FETCH 1:* (BODY.PEEK[])", `STORE 1:* +FLAGS.SILENT (\Seen)`, "SEARCH UNSEEN", "SEARCH SUBJECT nothing",
	} {
		b.Run(command, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.do(command); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
	b.Run("APPEND", func(b *testing.B) {
		b.ReportAllocs()
		n := messages
		for b.Loop() {
			if err := c.fill(n, 1, text); err != nil {
				b.Fatal(err)
			}
			n++
		}
	})
}

// processorTime is what this process has used, the client with the server: on
// a machine with other work it says more than the clock.
func processorTime() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r) // its arguments are right
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
