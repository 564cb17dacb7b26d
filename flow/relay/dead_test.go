package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/test/house"
)

// silent accepts connections on an address of loopback and says nothing, as
// hosts behind a broken firewall do.
func silent(t testing.TB, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
}

// Many messages for a domain whose host does not answer leave room for the
// others, and the relay does not wait for that host when it ends.
func TestDeadDomain(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	silent(t, fmt.Sprintf("127.0.0.2:%d", far.port()))
	zone := dnstest.Zone{A: map[string][]string{"near.test": {"127.0.0.1"}, "dead.test": {"127.0.0.2"}}}
	for i := range 300 {
		enqueue(t, h, text, fmt.Sprintf("user%d@dead.test", i))
	}
	enqueue(t, h, text, "carol@near.test")
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, zone, relay.Options{
		Hostname: house.Hostname, Port: far.port(), Attempts: 20, Log: h.Log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually(t, "the message for the living", func() bool { return len(far.got()) == 1 })
	cancel()
	begun := time.Now()
	<-done
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
	for _, it := range h.Queued() {
		if it.Tries != 0 || it.Leased {
			t.Fatalf("%s has been tried %d times, leased: %v", it.ID, it.Tries, it.Leased)
		}
	}
}

// One sender's mail for hundreds of domains whose hosts do not answer leaves
// room for another's message.
func TestDeadDomains(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	silent(t, fmt.Sprintf("127.0.0.2:%d", far.port()))
	world := dnstest.Zone{A: map[string][]string{"near.test": {"127.0.0.1"}}}
	for i := range 400 {
		domain := fmt.Sprintf("dead%d.test", i)
		world.A[domain] = []string{"127.0.0.2"}
		enqueue(t, h, text, "user@"+domain)
	}
	runIn(t, h, world, relay.Options{Port: far.port(), Attempts: 16})
	send(t, h, text, mail.Envelope{From: house.Address("x@elsewhere.test"), To: []mail.Recipient{rcpt("carol@near.test", 0)}})
	eventually(t, "the message for the living", func() bool { return len(far.got()) == 1 })
}

// That a host puts off one sender says nothing about other messages for it.
func TestSenderPutOff(t *testing.T) {
	h := house.New(t)
	far := newHost(t, func(line string) string {
		if strings.HasPrefix(line, "MAIL FROM:<alice@") {
			return "450 4.1.8 who is that"
		}
		return ""
	})
	r := relay.New(h.Queue, h.Deliverer, h.Blobs, zone, relay.Options{
		Hostname: house.Hostname, Port: far.port(), Attempts: 1, Log: h.Log,
	})
	enqueue(t, h, text, "carol@near.test")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "a try", func() bool { q := h.Queued(); return len(q) == 1 && q[0].Tries == 1 })
	h.Alice.Address = h.Bob.Address
	enqueue(t, h, text, "carol@near.test")
	eventually(t, "bob's message", func() bool {
		return strings.Contains(strings.Join(far.got(), ""), "Subject: out") && len(h.Queued()) == 1
	})
}

// A counter counts the transactions of a store.
type counter struct {
	kv.Store
	updates atomic.Int64
}

func (c *counter) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	c.updates.Add(1)
	return c.Store.Update(ctx, p, fn)
}

// Messages for domains that nobody can reach are put off together: a few
// transactions for hundreds of them.
func TestDeadDomainsShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, blobs := &counter{Store: memkv.New()}, memblob.New(0)
		h := house.Over(t, db, blobs, slog.New(slog.DiscardHandler))
		defer func() { _ = h.Mailboxes.Close(); _ = blobs.Close(); _ = db.Close() }()
		h.Furnish()
		world := dnstest.Zone{Fail: map[string]bool{}}
		const messages = 400
		for i := range messages {
			domain := fmt.Sprintf("dead%d.test", i/4)
			world.Fail[domain] = true
			enqueue(t, h, text, "user@"+domain)
		}
		r := relay.New(h.Queue, h.Deliverer, blobs, world, relay.Options{Hostname: house.Hostname, Schedule: relay.Schedule{First: time.Hour}})
		db.updates.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		updates := db.updates.Load()
		cancel()
		<-done
		for _, it := range h.Queued() {
			if it.Tries != 1 {
				t.Fatalf("%s has been tried %d times", it.ID, it.Tries)
			}
		}
		if updates > messages/10 {
			t.Errorf("%d messages took %d transactions", messages, updates)
		}
	})
}
