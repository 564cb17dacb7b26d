package submit_test

import (
	"testing"
	"time"

	room "waxwing/flow/submit"
	"waxwing/mail"
	"waxwing/store/trace"
	"waxwing/test/house"
)

// An account may have only so much waiting that is to be sent later.
// RFC 4865 §6 (2)
func TestHeldForLater(t *testing.T) {
	h := house.New(t)
	s := room.New(h.Deliverer, h.Directory, h.Blobs, room.Options{
		Hostname: house.Hostname, Queue: h.Queue, MaxHeld: 1000, Trace: trace.Discard{},
	})
	alice, bob := house.Identity(h.Alice), house.Identity(h.Bob)
	hold := func() {
		t.Helper()
		env := mail.Envelope{From: alice.Login, HoldUntil: time.Now().Add(time.Hour), Hold: "for;3600"}
		if err := sendAs(t, s, alice, env, "carol@far.test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hold(t.Context(), alice, 2000); code(err) != 552 {
		t.Errorf("2000 octets: %v", err)
	}
	if err := s.Hold(t.Context(), alice, 500); err != nil {
		t.Fatal(err)
	}
	for range 12 { // each has more than 100 octets by then
		hold()
	}
	if err := s.Hold(t.Context(), alice, 0); code(err) != 552 {
		t.Errorf("when 1000 octets wait: %v", err)
	}
	if err := s.Hold(t.Context(), bob, 500); err != nil {
		t.Errorf("another account: %v", err)
	}
	// A new start counts what is in the queue.
	s = room.New(h.Deliverer, h.Directory, h.Blobs, room.Options{Hostname: house.Hostname, Queue: h.Queue, MaxHeld: 1000})
	if err := s.Hold(t.Context(), alice, 500); code(err) != 552 {
		t.Errorf("after a start: %v", err)
	}
}
