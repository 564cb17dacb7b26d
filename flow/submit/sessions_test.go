package submit_test

import (
	"errors"
	"net/netip"
	"testing"

	room "waxwing/flow/submit"
	"waxwing/proto/smtp"
	"waxwing/test/house"
)

// An account has so many connections at once, and another's do not count.
func TestSessionsOfAnAccount(t *testing.T) {
	h := house.New(t)
	s := room.New(h.Deliverer, h.Directory, h.Blobs, room.Options{MaxSessions: 2})
	far := netip.MustParseAddr("192.0.2.1")
	for range 2 {
		if err := s.Enter(h.Alice.ID, far); err != nil {
			t.Fatal(err)
		}
	}
	refusal, ok := errors.AsType[*smtp.Refusal](s.Enter(h.Alice.ID, far))
	if !ok || refusal.Code != 421 {
		t.Errorf("a third: %v", refusal)
	}
	if err := s.Enter(h.Bob.ID, far); err != nil {
		t.Error(err)
	}
	s.Leave(h.Alice.ID)
	if err := s.Enter(h.Alice.ID, far); err != nil {
		t.Error(err)
	}
	if err := s.Enter(h.Alice.ID, netip.Addr{}); err != nil {
		t.Errorf("one of this machine: %v", err)
	}
}
