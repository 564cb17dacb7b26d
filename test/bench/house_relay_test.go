package bench

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"waxwing/app/config"
	"waxwing/serve/adminapi"
)

// smtpSink runs Debian's smtp-sink, which takes everything at once and throws
// it away, and gives its port.
func smtpSink(tb testing.TB) (port int) {
	tb.Helper()
	path, err := exec.LookPath("smtp-sink")
	if err != nil {
		path = "/usr/sbin/smtp-sink"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(path, "-u", "nobody", addr.String(), "1000")
	if err := cmd.Start(); err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr.String())
		if err == nil {
			_ = c.Close()
			return addr.Port
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// BenchmarkRelay sends mail in that goes out to smtp-sink, and waits until the
// queue is empty.
func BenchmarkRelay(b *testing.B) {
	for _, connections := range []int{1, 16, 64} {
		b.Run("connections="+strconv.Itoa(connections), func(b *testing.B) {
			port := smtpSink(b)
			h := openWith(b, 0, func(c *config.Config) { c.Relay.Port = port })
			admin := adminapi.NewClient(h.data)
			for i := range 64 {
				a := adminapi.NewAlias{Address: fmt.Sprintf("away%02d@example.test", i), Targets: []string{fmt.Sprintf("user%02d@[127.0.0.1]", i)}}
				if _, err := admin.AddAlias(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
			load := smtpLoad{addr: h.smtp, connections: connections, messages: b.N, size: 4 << 10}
			load.rcpt = func(i int) string { return fmt.Sprintf("away%02d@example.test", i%64) }
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime()
			if _, err := load.run(); err != nil {
				b.Fatal(err)
			}
			for {
				counts, err := admin.QueueCounts(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if counts.Items == 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
