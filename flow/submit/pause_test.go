package submit_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	room "waxwing/flow/submit"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/test/house"
)

// limited gives a house whose accounts may not send without end.
func limited(t *testing.T, sending policy.Sending) (*house.House, *room.Submitter, *peers.Store) {
	t.Helper()
	h := house.New(t)
	known, err := peers.Open(t.Context(), memkv.New(), peers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := room.New(h.Deliverer, h.Directory, h.Blobs, room.Options{
		Hostname: house.Hostname, Rules: policy.Rules{Sending: sending}, Peers: known, Queue: h.Queue,
	})
	return h, s, known
}

var laptop = deliver.Hop{Addr: netip.MustParseAddr("192.0.2.1"), Protocol: "ESMTPSA", By: house.Hostname}

// send sends one message as alice.
func send(t *testing.T, s *room.Submitter, who sasl.Identity, to ...string) error {
	t.Helper()
	return sendAs(t, s, who, mail.Envelope{From: who.Login}, to...)
}

func sendAs(t *testing.T, s *room.Submitter, who sasl.Identity, env mail.Envelope, to ...string) error {
	t.Helper()
	var recipients []deliver.Recipient
	for _, address := range to {
		r := mail.Recipient{Address: house.Address(address)}
		env.To = append(env.To, r)
		resolved, err := s.Recipient(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		recipients = append(recipients, resolved)
	}
	_, err := s.Message(t.Context(), who, nil, env, recipients, laptop, strings.NewReader("From: <"+who.Login.String()+">\r\nSubject: hello\r\n\r\nhello\r\n"))
	return err
}

// An account that suddenly writes to many is paused: what it has in the queue
// is held, its owner is told, and nothing more is taken until it is resumed.
func TestSuddenlyMany(t *testing.T) {
	h, s, known := limited(t, policy.Sending{JumpFloor: 5, JumpFactor: 10})
	alice, bob := house.Identity(h.Alice), house.Identity(h.Bob)
	for _, who := range []sasl.Identity{alice, bob} {
		for i := range 4 {
			if err := send(t, s, who, fmt.Sprintf("%d@far.example", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := send(t, s, who, "1@far.example"); err != nil { // not a new one
			t.Fatal(err)
		}
	}
	if err := send(t, s, alice, "x@far.example", "y@far.example"); code(err) != 450 {
		t.Fatalf("too many: %v", err)
	}
	held := 0
	for _, it := range h.Queued() {
		if it.Held != (it.Origin.Account == h.Alice.ID) {
			t.Errorf("item of %v: held %v", it.Origin.Account, it.Held)
		}
		if it.Held {
			held++
		}
	}
	if held != 5 {
		t.Errorf("%d items are held", held)
	}
	if inbox := h.Inbox(h.Alice); len(inbox) != 1 || !strings.Contains(inbox[0], "Subject: Sending from your account is paused\r\n") ||
		!strings.Contains(inbox[0], "5 message(s)") || !strings.Contains(inbox[0], "Auto-Submitted: auto-generated\r\n") {
		t.Errorf("the owner is told %q", inbox)
	}
	for range 2 { // said once, however often it is tried
		if err := s.Allow(t.Context(), alice, laptop.Addr, 0); code(err) != 450 {
			t.Errorf("while it is paused: %v", err)
		}
	}
	if p, ok := known.Paused(h.Alice.ID); !ok || !strings.Contains(p.Reason, "different addresses") {
		t.Errorf("pause: %+v, %v", p, ok)
	}
	if err := send(t, s, bob, "1@far.example"); err != nil {
		t.Errorf("bob: %v", err)
	}

	if err := s.Resume(t.Context(), time.Now(), h.Alice); err != nil {
		t.Fatal(err)
	}
	for _, it := range h.Queued() {
		if it.Held {
			t.Errorf("still held: %v", it.ID)
		}
	}
	if n := len(h.Inbox(h.Alice)); n != 2 {
		t.Errorf("%d messages in INBOX", n)
	}
	if err := send(t, s, alice, "x@far.example", "y@far.example"); err != nil {
		t.Errorf("after it was resumed: %v", err)
	}
	if err := s.Resume(t.Context(), time.Now(), h.Alice); !errors.Is(err, peers.ErrNotPaused) {
		t.Errorf("resumed twice: %v", err)
	}
}

// More than an account may send in an hour has to wait; local recipients count
// as others do.
func TestTooMuch(t *testing.T) {
	h, s, _ := limited(t, policy.Sending{Messages: 3, Recipients: 4})
	alice, bob := house.Identity(h.Alice), house.Identity(h.Bob)
	for range 3 {
		if err := send(t, s, alice, "bob@example.test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(t, s, alice, "bob@example.test"); code(err) != 451 {
		t.Errorf("the fourth message: %v", err)
	}
	if err := send(t, s, bob, "1@far.example", "2@far.example", "3@far.example", "4@far.example", "5@far.example"); code(err) != 451 {
		t.Errorf("five recipients: %v", err)
	}
	if err := send(t, s, bob, "1@far.example", "2@far.example", "3@far.example", "4@far.example"); err != nil {
		t.Errorf("four recipients: %v", err)
	}
}
