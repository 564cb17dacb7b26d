package adminapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/store/peers"
)

func TestPeers(t *testing.T) {
	h, ctx := open(t, t.TempDir()), t.Context()
	// More than a page of hosts.
	a := netip.MustParseAddr("198.51.100.0")
	for range maxPage + 20 {
		h.peers.Add(peers.OfAddress(a), time.Now(), peers.Delivered, 1)
		a = a.Next()
	}
	h.peers.Add(peers.OfAccount(1), time.Now(), peers.Messages, 1) // not a host
	seen := map[string]bool{}
	for p, err := range h.Peers(ctx, false) {
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Name] = true
	}
	if len(seen) != maxPage+20 || !seen["198.51.100.7"] {
		t.Errorf("%d hosts are listed", len(seen))
	}

	guesser := netip.MustParseAddr("192.0.2.7")
	h.peers.Add(peers.OfAddress(guesser), time.Now(), peers.Unknown, 200)
	p := must(h.Peer(ctx, "192.0.2.7"))(t)
	if p.Unknown < 199 || !strings.Contains(p.Verdict, "421 4.7.0") || !strings.Contains(p.Verdict, "guesses") || p.Known {
		t.Errorf("%+v", p)
	}
	rule := must(h.SetPeerRule(ctx, "192.0.2.0/24", NewPeerRule{Allow: true, Reason: "ours", Seconds: 3600}))(t)
	if rule.Name != "192.0.2.0/24" || rule.Until == nil || time.Until(*rule.Until) < 59*time.Minute {
		t.Errorf("%+v", rule)
	}
	if p = must(h.Peer(ctx, "192.0.2.7"))(t); !p.Known || p.Rule == nil || !strings.Contains(p.Verdict, "allowed by an administrator: ours") {
		t.Errorf("%+v", p)
	}
	if err := h.ForgetPeer(ctx, "192.0.2.0/24"); err != nil {
		t.Fatal(err)
	}
	if p = must(h.Peer(ctx, "192.0.2.7"))(t); p.Unknown != 0 || p.Rule != nil {
		t.Errorf("not forgotten: %+v", p)
	}
	refused(t, h.ForgetPeer(ctx, "192.0.2.0/24"), http.StatusNotFound, "nothing is known")
	refused(t, h.ForgetPeer(ctx, "example.com"), http.StatusNotFound, "nothing is said")
	_, err := h.Peer(ctx, "a b")
	refused(t, err, http.StatusUnprocessableEntity, "neither an address")
	_, err = h.SetPeerRule(ctx, "example.com", NewPeerRule{Seconds: -1})
	refused(t, err, http.StatusUnprocessableEntity, "out of range")

	for i := range 3 {
		must(h.SetPeerRule(ctx, fmt.Sprintf("d%d.example", i), NewPeerRule{}))(t)
	}
	n := 0
	for p, err := range h.Peers(ctx, true) {
		if err != nil || p.Rule == nil || p.Rule.Allow {
			t.Errorf("%+v, %v", p, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d rules", n)
	}
}
