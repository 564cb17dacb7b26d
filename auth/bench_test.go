package auth

import (
	"context"
	"testing"

	"waxwing/proto/sasl"
)

// Logins with a password that has been right before, as mail clients make
// them all day.
func BenchmarkPasswordAgain(b *testing.B) {
	a, dir, _ := house(b, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dir.Run(ctx) }()
	defer func() { cancel(); <-done }()
	if _, err := a.Password(ctx, elsewhere, "", "alice", "waxwing"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Password(ctx, elsewhere, "", "alice@example.test", "waxwing"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// The server's part of a SCRAM exchange beside the mechanism itself.
func BenchmarkSCRAM(b *testing.B) {
	a, dir, _ := house(b, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dir.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for _, user := range []string{"alice", "nobody"} {
		b.Run(user, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.SCRAM(ctx, elsewhere, user); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A password that has not been seen before: one argon2id hash.
func BenchmarkPasswordFirst(b *testing.B) {
	a, _, _ := house(b, Options{Remember: -1, Limits: Limits{PerAddress: 1 << 30, PerAccount: 1 << 30}})
	for _, user := range []string{"alice", "nobody"} {
		b.Run(user, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Password(b.Context(), elsewhere, "", user, "wrong"); err != sasl.ErrCredentials {
					b.Fatal(err)
				}
			}
		})
	}
}
