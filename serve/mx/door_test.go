package mx_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/policy"
	"waxwing/flow/receive"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/test/house"
	"waxwing/test/transcript"
	"waxwing/trust/dnsbl"
)

// Every file in testdata/door is a conversation with a port 25 that looks at
// who comes. O: lines set the rules and the world; the client is 192.0.2.1.
func TestDoor(t *testing.T) {
	transcript.Run(t, "testdata/door/*.smtp", func(t *testing.T, from transcript.Options) transcript.Dial {
		h := house.New(t)
		db := memkv.New()
		known, err := peers.Open(t.Context(), db, peers.Options{})
		if err != nil {
			t.Fatal(err)
		}
		zone := dnstest.Zone{PTR: map[string][]string{}, A: map[string][]string{"client.example": {"192.0.2.1"}}, Fail: map[string]bool{}, TXT: map[string][]string{}}
		o := receive.Options{Hostname: house.Hostname, Peers: known, Resolver: zone, Rules: policy.Rules{GreyPasses: 3, Greylist: policy.GreyOff}}
		var lists []dnsbl.List
		for key, value := range from {
			set(t, h, known, zone, &o.Rules, &lists, key, value)
		}
		if lists != nil {
			o.Lists = dnsbl.New(zone, lists, nil)
		}
		receiver := receive.New(h.Deliverer, h.Blobs, o)
		l := transcript.Listen(25)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		server := smtpserver.New(mx.Door(receiver, house.Hostname), smtpserver.Options{Hostname: house.Hostname})
		go func() { served <- server.Serve(ctx, l) }()
		t.Cleanup(func() {
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
			if err := known.Flush(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
			_ = db.Close()
		})
		return l.Dial
	})
}

// set carries out one O: line.
func set(t *testing.T, h *house.House, known *peers.Store, zone dnstest.Zone, r *policy.Rules, lists *[]dnsbl.List, key, value string) {
	now := time.Now()
	number := func() int {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	duration := func(s string) time.Duration {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	client := peers.OfAddress(transcript.ClientAddr.Addr())
	switch key {
	case "connections":
		r.Connections = number()
	case "messages":
		r.Messages = number()
	case "recipients":
		r.Recipients = number()
	case "guesses": // from how many, how many at most
		from, most, _ := strings.Cut(value, " ")
		r.Guesses, _ = strconv.Atoi(from)
		r.MaxGuesses, _ = strconv.Atoi(most)
		r.Pause, r.MaxPause = time.Second, 20*time.Second
	case "greeting":
		r.GreetingDelay = duration(value)
	case "reverse":
		r.ReverseName = policy.Refuse
	case "hello":
		r.Hello = policy.Refuse
	case "grey":
		r.Greylist, r.GreyDelay = policy.GreySuspicious, duration(value)
	case "grey-all":
		r.Greylist, r.GreyDelay = policy.GreyStrangers, duration(value)
	case "ptr":
		zone.PTR["192.0.2.1"] = strings.Fields(value)
	case "txt": // name=record | name=record
		for one := range strings.SplitSeq(value, " | ") {
			name, record, _ := strings.Cut(one, "=")
			zone.TXT[name] = append(zone.TXT[name], record)
		}
	case "dmarc":
		h.Alias("postmaster@example.test", "bob@example.test")
		r.Trust.DMARC = map[string]policy.Heed{"enforce": policy.HeedAll, "junk": policy.HeedJunk}[value]
	case "spf":
		r.Trust.SPF = policy.Refuse
	case "unknown":
		r.Trust.Defer = true
	case "fails":
		zone.Fail["192.0.2.1"], zone.Fail[value] = true, true
	case "listed": // zones
		r.ListScore = 1
		for name := range strings.FieldsSeq(value) {
			zone.A["1.2.0.192."+name], zone.A["spam.example."+name] = []string{"127.0.0.4"}, []string{"127.0.1.2"}
			zone.A["2.0.0.127."+name], zone.A["test."+name] = []string{"127.0.0.2"}, []string{"127.0.0.2"}
			list := dnsbl.List{Zone: name, Weight: 1, Domains: strings.HasPrefix(name, "domains."), Allow: strings.HasPrefix(name, "allow.")}
			if strings.HasPrefix(name, "dead.") {
				zone.A["1.0.0.127."+name] = []string{"127.0.0.2"} // it lists the world
			}
			*lists = append(*lists, list)
		}
	case "block", "allow":
		for name := range strings.FieldsSeq(value) {
			if _, err := known.SetRule(t.Context(), peers.Rule{Name: name, Allow: key == "allow", Reason: "for the test", Created: now}); err != nil {
				t.Fatal(err)
			}
		}
	case "delivered":
		known.Add(client, now, peers.Delivered, float64(number()))
	case "wrote-to":
		known.Sent(peers.OfAccount(h.Bob.ID), now, []string{value})
	default:
		t.Fatalf("unknown option %q", key)
	}
}
