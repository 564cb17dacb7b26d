package recursor_test

import (
	"context"
	"crypto/ecdsa"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns/recursor"
)

// A rootKey signs the root's keys in memory.
type rootKey struct {
	record  *wire.DNSKEY
	private *ecdsa.PrivateKey
}

func newRootKey(t *testing.T) rootKey {
	k := &wire.DNSKEY{
		Hdr:   wire.RR_Header{Name: ".", Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: 172800},
		Flags: 257, Protocol: 3, Algorithm: wire.ECDSAP256SHA256,
	}
	private, err := k.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return rootKey{k, private.(*ecdsa.PrivateKey)}
}

// The anchors follow the root by RFC 5011, over a restart too, and what they
// say survives in the file.
func TestAnchorsFollowTheRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dns-anchors")
	synctest.Test(t, func(t *testing.T) {
		old, fresh := newRootKey(t), newRootKey(t)
		published, signers := []wire.RR{old.record}, []rootKey{old}
		w := newWorld(t, map[string]string{"198.51.100.1 .": "@ NS ns.root.\nns.root. A 198.51.100.1"})
		w.rule = func(_ netip.Addr, q *wire.Msg, _ bool) (*wire.Msg, error) {
			if q.Question[0].Qtype != wire.TypeDNSKEY {
				return nil, nil
			}
			m := new(wire.Msg).SetReply(q)
			m.Authoritative = true
			m.Answer = append(m.Answer, published...)
			for _, s := range signers {
				sig := &wire.RRSIG{
					Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeRRSIG, Class: wire.ClassINET, Ttl: 172800}, Algorithm: s.record.Algorithm,
					KeyTag: s.record.KeyTag(), SignerName: ".",
					Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(240 * time.Hour).Unix()),
				}
				if err := sig.Sign(s.private, published); err != nil {
					return nil, err
				}
				m.Answer = append(m.Answer, sig)
			}
			return m, nil
		}
		run := func(during func()) {
			t.Helper()
			r := w.resolver(t, recursor.Options{Anchors: old.record.ToDS(wire.SHA256).String(), AnchorFile: file})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			during()
			synctest.Wait()
			cancel()
			if err := <-ended; err != context.Canceled {
				t.Errorf("Run: %v", err)
			}
		}
		states := func() string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); f[0] != ";" {
					all = append(all, f[0])
				}
			}
			return strings.Join(all, " ")
		}
		day := 24 * time.Hour
		run(func() { time.Sleep(time.Minute) })
		if s := states(); s != "valid" {
			t.Fatalf("at first: %q", s)
		}
		published = append(published, fresh.record)
		run(func() { time.Sleep(29 * day) })
		if s := states(); s != "valid pending" {
			t.Fatalf("after 29 days: %q", s)
		}
		run(func() { time.Sleep(2 * day) })
		if s := states(); s != "valid valid" {
			t.Fatalf("after 31 days: %q", s)
		}
		revoked := *old.record
		revoked.Flags |= 1 << 7
		published, signers = []wire.RR{&revoked, fresh.record}, []rootKey{{&revoked, old.private}, fresh}
		run(func() { time.Sleep(day) })
		if s := states(); s != "revoked valid" {
			t.Fatalf("revoked: %q", s)
		}
		// A file that is broken stops the start.
		if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := recursor.New(recursor.Options{AnchorFile: file}); err == nil {
			t.Error("a broken file was taken")
		}
	})
}
