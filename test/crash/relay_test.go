//go:build crash

package crash

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/test/bucket"
	"waxwing/test/engine"
	"waxwing/test/system"
	"waxwing/test/traffic"
)

// Mail on its way onward: all that was taken from the users arrives, soon
// after the start, and what comes twice had been under way when the program
// was killed. SMTP leaves no way to avoid that: between the host's answer and
// our knowing it there is always a moment. RFC 1047
func TestKillDuringRelay(t *testing.T) {
	far := traffic.NewSink(t)
	resolver := dnstest.Serve(t, dnstest.Zone{
		MX: map[string][]dns.MX{"sink.test": {{Host: "mx.sink.test", Preference: 10}}},
		A:  map[string][]string{"mx.sink.test": {"127.0.0.1"}},
	})
	w := system.Start(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(far.Port()), "--retry", "1s")
	books := newLedger()
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+system.Bob+"\x00"+system.Password))
	for round := range kills() {
		var sending sync.WaitGroup
		stop := make(chan struct{})
		for s := range senders {
			sending.Go(func() {
				books.send(w.Addr(587), fmt.Sprintf("%d-%d", round, s), stop, system.Bob, "carol@sink.test", login)
			})
		}
		books.flows(round)
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		w.Kill()
		close(stop)
		sending.Wait()
		w.Run()
	}
	arrived(t, far, books, w)
}

// Two servers on one database relay the same queue, and by turns one of them is
// killed: the other takes over what it had leased.
func TestKillOfNodeDuringRelay(t *testing.T) {
	store := engine.URL(t)
	if store == "" {
		t.Skip("servers share PostgreSQL only: see test/system/withpostgres")
	}
	far := traffic.NewSink(t)
	resolver := dnstest.Serve(t, dnstest.Zone{
		MX: map[string][]dns.MX{"sink.test": {{Host: "mx.sink.test", Preference: 10}}},
		A:  map[string][]string{"mx.sink.test": {"127.0.0.1"}},
	})
	s3, credentials := bucket.Serve(t) // large bodies are to be read by both
	var nodes [2]*system.Waxwing
	for i := range nodes {
		nodes[i] = system.Start(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(far.Port()), "--retry", "1s",
			"--store", store, "--take-over", "5s", "--blobs", "s3://"+bucket.Name+"/queue", "--blobs-endpoint", "http://"+s3, "--blobs-credentials", credentials)
	}
	books := newLedger()
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+system.Bob+"\x00"+system.Password))
	for round := range kills() {
		var sending sync.WaitGroup
		stop := make(chan struct{})
		for s := range senders {
			sending.Go(func() {
				books.send(nodes[s%2].Addr(587), fmt.Sprintf("%d-%d", round, s), stop, system.Bob, "carol@sink.test", login)
			})
		}
		time.Sleep(time.Duration(300+rand.IntN(1500)) * time.Millisecond)
		nodes[round%2].Kill()
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond) // the other goes on
		close(stop)
		sending.Wait()
		nodes[round%2].Run()
	}
	arrived(t, far, books, nodes[:]...)
}

// arrived waits until all that was acknowledged has arrived, ends the servers,
// and looks at what has come.
func arrived(t *testing.T, far *traffic.Sink, books *ledger, servers ...*system.Waxwing) {
	t.Helper()
	missing := func() (n int) {
		taken := far.Takings()
		for number := range books.acknowledged {
			if len(taken[number]) == 0 {
				n++
			}
		}
		return n
	}
	for until := time.Now().Add(time.Minute); missing() > 0 && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second) // what would come twice has come
	for _, w := range servers {
		w.Stop()
	}
	twice := 0
	taken := far.Takings()
	for number, times := range taken {
		for i, one := range times {
			if one.Sum != books.sums[number] {
				t.Errorf("message %s has arrived damaged", number)
			}
			if i == len(times)-1 {
				continue
			}
			twice++
			if !one.Last {
				t.Errorf("message %s has been sent again though its connection had gone on", number)
			}
		}
	}
	n := missing()
	t.Logf("%d kills: %d messages acknowledged, %d lost, %d arrived, %d times one came again",
		kills(), len(books.acknowledged), n, len(taken), twice)
	if n > 0 {
		t.Errorf("%d messages were answered 250 and have not arrived", n)
	}
	if len(books.acknowledged) == 0 {
		t.Error("nothing was acknowledged: the test proves nothing")
	}
}
