package deliver_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/store/outqueue"
	"waxwing/test/house"
)

// Each recipient elsewhere sees a sender of its own, where the domain or the
// message wants it; our own see the plain one, and bounces come back.
func TestVariableSenders(t *testing.T) {
	list, other := house.Address("alice@example.test"), house.Address("alice@other.test")
	long := strings.Repeat("x", 60) + "@" + strings.Repeat("y", 60) + ".test"
	for _, tt := range []struct {
		what, service, token, verp string
		from                       mail.Address
		hold                       bool
		to                         []string
		want                       []string
	}{
		{what: "by domain", service: "submission", from: list, to: []string{"bob@example.test", "c@far.test", "d@far.test"},
			want: []string{"alice+c=far.test@example.test", "alice+d=far.test@example.test"}},
		{what: "as asked", service: "submission", from: other, verp: "-=", to: []string{"c@far.test", "d@near.test"},
			want: []string{"alice-c=far.test@other.test", "alice-d=near.test@other.test"}},
		{what: "not asked", service: "submission", from: other, to: []string{"c@far.test", "d@far.test"}, want: []string{"alice@other.test"}},
		{what: "from outside", service: "mx", from: list, to: []string{"away@example.test"}, want: []string{"alice@example.test"}},
		{what: "forwarded", service: "submission", from: list, to: []string{"away@example.test"}, want: []string{"alice+carol=far.test@example.test"}},
		{what: "from the queue", service: "submission", token: "q", from: list, to: []string{"c@far.test"}, want: []string{"alice@example.test"}},
		{what: "held", service: "submission", from: list, hold: true, to: []string{"c@far.test", "bob@example.test"},
			want: []string{"alice+bob=example.test@example.test", "alice+c=far.test@example.test"}},
		{what: "too long", service: "submission", from: list, to: []string{long}, want: []string{"alice@example.test"}},
		{what: "no sender", service: "submission", verp: "+=", to: []string{"c@far.test"}, want: []string{""}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h := house.New(t)
			h.Alias("away@example.test", "carol@far.test")
			d := deliver.New(h.Directory, h.Mailboxes, h.Queue, h.Blobs, deliver.Options{
				Hostname: house.Hostname, VERP: []string{"Example.test"}, Log: slog.New(slog.DiscardHandler),
			})
			var to []deliver.Recipient
			for _, s := range tt.to {
				r, err := d.Resolve(t.Context(), mail.Recipient{Address: house.Address(s)})
				if err != nil {
					t.Fatal(err)
				}
				to = append(to, r)
			}
			now := time.Now()
			a, err := deliver.Stage(t.Context(), h.Blobs, now, strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			a.Token, a.Origin = tt.token, outqueue.Origin{Service: tt.service}
			env := mail.Envelope{From: tt.from, VERP: tt.verp}
			if tt.hold {
				env.HoldUntil = now.Add(time.Hour)
			}
			if err := d.Deliver(t.Context(), now, a, env, nil, to); err != nil {
				t.Fatal(err)
			}
			var senders []string
			for _, it := range h.Queued() {
				senders = append(senders, it.Envelope.From.String())
			}
			slices.Sort(senders)
			if !slices.Equal(senders, tt.want) {
				t.Errorf("senders %q, want %q", senders, tt.want)
			}
		})
	}
}
