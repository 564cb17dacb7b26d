package dnssec

import (
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// A roll-over as RFC 5011 §6 has it: a new key is published, trusted after 30
// days, and the old one is revoked and gone.
func TestRollover(t *testing.T) {
	old, fresh, zsk := newSigner(t, ".", 257), newSigner(t, ".", 257), newSigner(t, ".", 256)
	configured := []*wire.DS{old.record.ToDS(wire.SHA256)}
	now := today
	var tracked []TrackedKey
	day := 24 * time.Hour
	track := func(by []*signer, keys ...*wire.DNSKEY) dns.Finding {
		t.Helper()
		var rrs []wire.RR
		for _, k := range append(keys, zsk.record) {
			rrs = append(rrs, k)
		}
		set := by[0].sign(t, now, rrs)
		for _, s := range by[1:] {
			set.Sigs = append(set.Sigs, s.sign(t, now, rrs).Sigs...)
		}
		var finding dns.Finding
		tracked, finding = (&Check{Now: now, Work: NewWork()}).Track(tracked, configured, set)
		return finding
	}
	state := func(s *signer) KeyState {
		for _, k := range tracked {
			if k.Key.PublicKey == s.record.PublicKey {
				return k.State
			}
		}
		return ""
	}
	trusts := func(s *signer) bool {
		for _, ds := range Trusted(configured, tracked) {
			if matches(ds, s.record) {
				return true
			}
		}
		return false
	}
	want := func(step string, oldState, newState KeyState) {
		t.Helper()
		if state(old) != oldState || state(fresh) != newState {
			t.Fatalf("%s: old %q, new %q, want %q, %q", step, state(old), state(fresh), oldState, newState)
		}
	}

	track([]*signer{old}, old.record)
	want("the beginning", KeyValid, "")
	track([]*signer{old}, old.record, fresh.record)
	want("published", KeyValid, KeyPending)
	if trusts(fresh) {
		t.Error("a new key is trusted at once")
	}
	now = now.Add(20 * day)
	track([]*signer{old}, old.record)
	want("withdrawn while it waited", KeyValid, "")
	track([]*signer{old}, old.record, fresh.record)
	now = now.Add(29 * day)
	track([]*signer{old}, old.record, fresh.record)
	want("still waiting", KeyValid, KeyPending)
	now = now.Add(2 * day)
	track([]*signer{old}, old.record, fresh.record)
	want("trusted", KeyValid, KeyValid)

	// Whoever does not have the key cannot revoke it.
	revoked := *old.record
	revoked.Flags |= flagRevoke
	track([]*signer{fresh}, &revoked, fresh.record)
	want("revoked by another", KeyValid, KeyValid)
	revoker := *old
	revoker.record = &revoked
	track([]*signer{&revoker, fresh}, &revoked, fresh.record)
	want("revoked", KeyRevoked, KeyValid)
	if trusts(old) || !trusts(fresh) {
		t.Error("the revoked key is trusted, or the new one is not")
	}
	// It never comes back, whatever it signs.
	if f := track([]*signer{old}, old.record); f.Security != dns.Bogus {
		t.Errorf("keys signed by the revoked one: %v", f)
	}
	want("a set by the revoked key", KeyRevoked, KeyValid)

	// A key that is missing is trusted still.
	tracked[1].State = KeyValid
	third := newSigner(t, ".", 257)
	track([]*signer{fresh}, fresh.record, third.record)
	now = now.Add(31 * day)
	track([]*signer{fresh}, fresh.record, third.record)
	track([]*signer{third}, third.record)
	if state(fresh) != KeyMissing || state(third) != KeyValid || !trusts(fresh) {
		t.Errorf("missing: %q, %q", state(fresh), state(third))
	}
	// The configuration still names the old one, which must not be trusted again.
	now = now.Add(400 * day)
	track([]*signer{third}, third.record, fresh.record)
	if state(old) != KeyRevoked || trusts(old) {
		t.Errorf("a year after it was revoked: %q, trusted: %v", state(old), trusts(old))
	}
	// One that nobody has configured is forgotten.
	gone := *third.record
	gone.Flags |= flagRevoke
	leaver := *third
	leaver.record = &gone
	track([]*signer{&leaver, fresh}, &gone, fresh.record)
	now = now.Add(31 * day)
	track([]*signer{fresh}, fresh.record)
	if state(third) != "" {
		t.Errorf("a learnt key, revoked and gone: %q", state(third))
	}
	track([]*signer{fresh}, fresh.record)
	if state(fresh) != KeyValid {
		t.Errorf("back again: %q", state(fresh))
	}
}

func TestRefreshAfter(t *testing.T) {
	s := newSigner(t, ".", 257)
	set := s.sign(t, today, []wire.RR{s.record}) // TTL of an hour
	if wait := check().RefreshAfter(set); wait != time.Hour {
		t.Errorf("%v", wait)
	}
	s.record.Hdr.Ttl = 172800
	if wait := check().RefreshAfter(s.sign(t, today, []wire.RR{s.record})); wait != 12*time.Hour { // half of the signature's day
		t.Errorf("%v", wait)
	}
}
