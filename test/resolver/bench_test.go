//go:build peers

package resolver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
	"waxwing/test/system"
)

// BenchmarkDistinct asks for signed names that nobody has asked for before,
// from a knot on this machine, and says how many a core of ours resolves in a
// second: by the processor time that was used, since knot uses some too.
func BenchmarkDistinct(b *testing.B) {
	for _, policy := range []string{p256, "algorithm: ed25519"} {
		b.Run(strings.TrimPrefix(policy, "algorithm: "), func(b *testing.B) {
			const names = 5_000
			var records strings.Builder
			for i := range names {
				fmt.Fprintf(&records, "n%d MX 10 mx\n", i)
			}
			in := system.StartInternet(b, []system.SignedZone{
				{Name: ".", Policy: p256}, {Name: "test.", Policy: p256}, {Name: "bench.test.", Policy: policy, Records: records.String()},
			})
			b.ReportAllocs()
			b.ResetTimer()
			var spent time.Duration
			for range b.N {
				r := benchResolver(b, in)
				resolve(b, r, 0, 1) // the chain to the zone
				before := processorTime()
				resolve(b, r, 1, names)
				spent += processorTime() - before
			}
			count := float64(b.N * (names - 1))
			b.ReportMetric(count/spent.Seconds(), "names/core-s")
			b.ReportMetric(count/b.Elapsed().Seconds(), "names/s")
			b.ReportMetric(float64(spent.Microseconds())/count, "µs-cpu/name")
		})
	}
}

func resolve(b *testing.B, r *recursor.Resolver, from, to int) {
	var next atomic.Int64
	next.Store(int64(from))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(to) {
					return
				}
				a, err := r.Resolve(context.Background(), fmt.Sprintf("n%d.bench.test.", i), wire.TypeMX)
				if err != nil || a.Finding.Security != dns.Secure || len(a.Records) != 1 {
					b.Errorf("n%d: %+v, %v", i, a, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func benchResolver(b *testing.B, in *system.Internet) *recursor.Resolver {
	r, err := recursor.New(recursor.Options{Hints: in.Hints, Port: in.Port, Anchors: in.Anchor, CacheBytes: 128 << 20})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCached asks for what is known and proven.
func BenchmarkCached(b *testing.B) {
	in := system.StartInternet(b, []system.SignedZone{
		{Name: ".", Policy: p256}, {Name: "test.", Policy: p256}, {Name: "nsec.test.", Policy: p256, Records: content},
	})
	r := benchResolver(b, in)
	ctx := context.Background()
	for name, lookup := range map[string]func() (dns.Result, error){
		"MX":  func() (dns.Result, error) { _, result, err := r.LookupMX(ctx, "nsec.test"); return result, err },
		"TXT": func() (dns.Result, error) { _, result, err := r.LookupTXT(ctx, "nsec.test"); return result, err },
		"TLSA": func() (dns.Result, error) {
			_, result, err := r.LookupTLSA(ctx, "_25._tcp.mx.nsec.test")
			return result, err
		},
		"Addr": func() (dns.Result, error) { _, result, err := r.LookupAddr(ctx, "www.nsec.test"); return result, err },
		"Alias": func() (dns.Result, error) {
			a, err := r.Resolve(ctx, "chain.nsec.test.", wire.TypeA)
			return dns.Result{Security: a.Finding.Security}, err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime()
			for b.Loop() {
				if result, err := lookup(); err != nil || result.Security != dns.Secure {
					b.Fatalf("%+v, %v", result, err)
				}
			}
			b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "ns-cpu/op")
		})
	}
}
