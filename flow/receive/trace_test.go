package receive_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/receive"
	"waxwing/mail"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/store/trace"
	"waxwing/test/house"
)

// notes are steps that were recorded.
type notes struct {
	all  []trace.Event
	deaf bool // nothing is kept
}

func (n *notes) Record(_ context.Context, e trace.Event) {
	if !n.deaf {
		n.all = append(n.all, e)
	}
}

// has tells whether there is a step about a recipient, with some words in its
// reason.
func (n *notes) has(step trace.Step, to, words string) bool {
	for _, e := range n.all {
		if e.Step == step && strings.Contains(strings.Join(e.To, " "), to) && strings.Contains(e.Reason, words) {
			return true
		}
	}
	return false
}

// What is refused is told, and why, with what was known of the host.
func TestRefusalsAreTold(t *testing.T) {
	h := house.New(t)
	known, err := peers.Open(t.Context(), memkv.New(), peers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.Defaults()
	rules.Greylist, rules.Connections = policy.GreyStrangers, 3
	told := &notes{}
	r := receive.New(h.Deliverer, h.Blobs, receive.Options{Hostname: house.Hostname, Rules: rules, Peers: known, Trace: told, Unsolicited: "net.example:ADV"})
	host := netip.MustParseAddr("192.0.2.9")
	v, err := r.Visit(t.Context(), receive.Caller{Addr: host, Log: h.Log})
	if err != nil {
		t.Fatal(err)
	}
	v.Hello("mx.a.example")
	if err := v.Mail(ann); err != nil {
		t.Fatal(err)
	}
	for _, to := range []mail.Address{h.Alice.Address, h.Bob.Address, house.Address("nobody@example.test")} {
		if _, err := v.Recipient(t.Context(), mail.Recipient{Address: to}); err == nil {
			t.Fatalf("%s is taken at once", to)
		}
	}
	v.Reset()
	for _, want := range []struct{ to, words string }{
		{"alice@example.test bob@example.test", "greylisted: it is not known yet"}, {"nobody@example.test", "no such user"},
	} {
		if !told.has(trace.Recipient, want.to, want.words) {
			t.Errorf("nothing is told of %s: %+v", want.to, told.all)
		}
	}
	if n := len(told.all); n != 2 {
		t.Errorf("%d steps for two reasons", n)
	}
	for range 100 {
		if again, err := r.Visit(t.Context(), receive.Caller{Addr: host, Log: h.Log}); err == nil {
			again.Close()
		}
	}
	v.Close()
	if n := len(told.all); n < 3 || n > 8 {
		t.Errorf("%d steps for a hundred connections too many", n)
	}
	if !told.has(trace.Connected, "", "too many connections") {
		t.Errorf("nothing is told of connections: %+v", told.all)
	}
}

// A message that is refused is told with its id, which is that of the
// recipients that were refused with it; and classes that are not wanted are
// found in the header too. RFC 3865 §2.3
func TestSolicitationInTheHeader(t *testing.T) {
	h := house.New(t)
	told := &notes{}
	r := receive.New(h.Deliverer, h.Blobs, receive.Options{Hostname: house.Hostname, Trace: told, Unsolicited: "net.example:ADV"})
	for text, want := range map[string]int{
		"Solicitation: net.example:ADV,org.example:ADV:ADLT\r\n\r\n": 550,
		"Solicitation: org.example:OTHER\r\n\r\n":                    0,
		"Solicitation: this is no class\r\n\r\n":                     0,
	} {
		v, to := knock(t, h, r, netip.MustParseAddr("192.0.2.7"))
		if _, err := v.Recipient(t.Context(), mail.Recipient{Address: house.Address("nobody@example.test")}); err == nil {
			t.Fatal("nobody is taken")
		}
		env := mail.Envelope{From: ann, To: []mail.Recipient{to.Recipient}}
		hop := deliver.Hop{Hello: "mx.a.example", By: house.Hostname, Protocol: "ESMTP"}
		id, err := v.Message(t.Context(), env, []deliver.Recipient{to}, hop, strings.NewReader(text))
		if code(err) != want {
			t.Errorf("%q: %v, want %d", text, err, want)
		}
		v.Close()
		if want == 0 && told.all[len(told.all)-1].Message != id {
			t.Errorf("the refused recipient is not told with the message: %+v", told.all)
		}
	}
	if !told.has(trace.Refused, "bob@example.test", "SOLICIT=net.example:ADV") {
		t.Errorf("%+v", told.all)
	}
	for _, text := range h.Inbox(h.Bob) {
		if strings.Contains(text, "OTHER") && !strings.Contains(text, "(SOLICIT=org.example:OTHER)") {
			t.Errorf("Received does not tell the class: %s", text)
		}
	}
}

// A notification for somebody who has sent nothing comes from a stranger: it is
// put off at first. For whom has sent it is taken.
func TestUnaskedNotifications(t *testing.T) {
	h := house.New(t)
	r, known := guarded(t, h)
	known.Sent(peers.OfAccount(h.Alice.ID), time.Now(), []string{"carol@far.test"})
	for who, want := range map[mail.Address]int{h.Bob.Address: 451, h.Alice.Address: 0} {
		v, err := r.Visit(t.Context(), receive.Caller{Addr: netip.MustParseAddr("203.0.113.7"), Log: h.Log, Name: "mx.a.example"})
		if err != nil {
			t.Fatal(err)
		}
		v.Hello("mx.a.example")
		if err := v.Mail(mail.Address{}); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Recipient(t.Context(), mail.Recipient{Address: who}); code(err) != want {
			t.Errorf("%s: %v, want %d", who, err, want)
		}
		v.Close()
	}
}
