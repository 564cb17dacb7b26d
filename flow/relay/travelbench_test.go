package relay

import (
	"testing"

	"waxwing/trust/mtasts"
)

// BenchmarkTravel is what the decision costs for each message and host.
func BenchmarkTravel(b *testing.B) {
	const host = "mx.example.org"
	for name, f := range map[string]roadFacts{
		"nothing": {host: host, domain: "example.org", source: byMX},
		"dane":    {host: host, domain: "example.org", source: byProvenMX, dane: tlsaOf(host, usable)},
		"sts":     {host: host, domain: "example.org", source: byMX, sts: sts(mtasts.Enforce, host)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := travel(f); d.refuse != nil {
					b.Fatal(d.refuse)
				}
			}
		})
	}
}
