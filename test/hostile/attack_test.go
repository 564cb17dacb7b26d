//go:build hostile

package hostile

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/test/system"
)

// An attack is what one hostile connection does. It is run by many at once,
// and by each again and again, whenever the server has closed the connection.
type attack struct {
	name string
	door int // the well-known port
	// run attacks until it fails; where the server hangs up, that is the end
	// it is meant to come to. It calls ready when its connection is where it
	// wants to be.
	run func(w *wire, ready func()) error
	// few says that one such connection is work enough for a machine.
	few bool
}

// under runs an attack until everybody else has been served.
func (a *arena) under(t *testing.T, k attack) {
	outer := a.T
	a.T = t
	defer func() { a.T = outer }()
	many := attackers()
	if k.few {
		many = 4
	}
	before := system.Memory(a.PID())
	ctx, end := context.WithCancel(t.Context())
	var (
		hostile sync.WaitGroup
		ready   atomic.Int64
		rounds  atomic.Int64
		last    atomic.Value // of type string: why a connection ended
	)
	for i := range many {
		hostile.Go(func() {
			for ctx.Err() == nil {
				rounds.Add(1)
				if err := a.attackOnce(ctx, k, i, func() { ready.Add(1) }); err != nil && ctx.Err() == nil {
					last.Store(err.Error())
				}
			}
		})
	}
	for deadline := time.Now().Add(2 * patience); ready.Load() < int64(many); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("only %d of %d attackers came into position; %v", ready.Load(), many, last.Load())
			break
		}
	}
	stop := a.serving()
	peak := a.allServed(served)
	stop()
	end()
	hostile.Wait()
	a.deserted()
	after := system.Memory(a.PID())
	t.Logf("%d connections; memory %d MiB, at most %d MiB, after it %d MiB; the last ended with %v",
		rounds.Load(), before>>20, peak>>20, after>>20, last.Load())
	if budget := int64(slack + many*each); peak > budget {
		t.Errorf("memory came to %d MiB, the budget is %d MiB", peak>>20, budget>>20)
	}
}

func (a *arena) attackOnce(ctx context.Context, k attack, i int, ready func()) error {
	w, err := a.dial(ctx, k.door, net.IPv4(127, 66, byte(i>>8), byte(i)))
	if err != nil {
		return err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { _ = w.Close() })()
	return k.run(w, sync.OnceFunc(ready))
}

// hold waits until the server hangs up.
func hold(w *wire) error {
	for {
		if _, err := w.in.Discard(1); err != nil {
			return err
		}
	}
}

// trickle sends an octet now and then.
func trickle(w *wire, octet string) error {
	for {
		if err := w.say(octet); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// flood sends the same again and again and reads no answer, or all of them.
func flood(w *wire, text string, listen bool) error {
	if listen {
		var reading sync.WaitGroup
		defer reading.Wait()
		defer w.Close()
		reading.Go(func() { _ = hold(w) })
	}
	for {
		if err := w.say(text); err != nil {
			return err
		}
	}
}
