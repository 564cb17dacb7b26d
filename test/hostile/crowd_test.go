//go:build hostile

package hostile

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/test/system"
)

const (
	// crowd is how many connect and stay; so many that the limit of a service, ten
	// thousand, is not reached yet.
	crowd = 9_900
	// idle is what each of them may cost, and uncollected what Go's collector
	// may not have looked at yet.
	idle        = 30 << 10
	uncollected = 24 << 20
)

// secureCrowd is how many of them speak TLS: $WAXWING_CROWD, two thousand by
// default, since it is the client's handshakes that take the time.
func secureCrowd() int {
	if n, err := strconv.Atoi(os.Getenv("WAXWING_CROWD")); err == nil && n > 0 {
		return min(n, crowd)
	}
	return 2000
}

// Thousands of connections that do nothing cost little, and keep nobody out:
// neither those who have said EHLO and those who have had a message delivered,
// nor those who did so under TLS.
func TestCrowd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		many   int
		secure bool
	}{
		{"plain", crowd, false},
		{"STARTTLS", secureCrowd(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			many := tt.many
			openFiles(t, many+200)
			a := newArena(t)
			before := a.restingMemory()
			conns := a.gather(many, tt.secure)
			stop := a.serving()
			peak := a.allServed(served)
			stop()
			allowed := before + int64(many)*idle + uncollected
			after := a.restingMemory()
			for range 20 { // garbage of the busy time goes after some quiet seconds
				if after <= allowed {
					break
				}
				after = a.restingMemory()
			}
			each := (after - before) / int64(many)
			t.Logf("%d connections; memory %d MiB, at most %d MiB, %d MiB at rest: %.1f KiB each",
				many, before>>20, peak>>20, after>>20, float64(each)/1024)
			if after > allowed {
				t.Errorf("each connection costs %d octets", each)
			}
			for _, c := range conns {
				_ = c.Close()
			}
			a.deserted()
			if err := a.sendMail(); err != nil {
				t.Error(err)
			}
		})
	}
}

// gather opens connections from addresses of their own, each of which says
// EHLO and a tenth of which have had a message refused.
func (a *arena) gather(many int, secure bool) []net.Conn {
	a.Helper()
	config := a.TLS()
	config.InsecureSkipVerify = true
	conns := make([]net.Conn, many)
	var wg sync.WaitGroup
	at := make(chan int)
	errs := make(chan error, 16)
	for range 16 {
		wg.Go(func() {
			for i := range at {
				c, err := a.settle(i, secure, config)
				if conns[i] = c; err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for i := range conns {
		select {
		case at <- i:
		case err := <-errs:
			a.Fatal(err)
		}
	}
	close(at)
	wg.Wait()
	select {
	case err := <-errs:
		a.Fatal(err)
	default:
	}
	return conns
}

// settle opens one connection and leaves it where nothing is expected of it.
func (a *arena) settle(i int, secure bool, config *tls.Config) (net.Conn, error) {
	w, err := a.dial(context.Background(), 25, net.IPv4(127, 77, byte(i>>8), byte(i)))
	if err != nil {
		return nil, err
	}
	a.Cleanup(func() { _ = w.Close() })
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if secure {
		if err := w.talk(startTLS...); err != nil {
			return nil, err
		}
		t := tls.Client(w.Conn, config)
		if err := t.Handshake(); err != nil {
			return nil, err
		}
		w = &wire{t, bufio.NewReader(t)}
		if err := w.say("EHLO crowd.test\r\n"); err != nil {
			return nil, err
		}
	} else if err := w.talk("220", "EHLO crowd.test"); err != nil {
		return nil, err
	}
	dialog := []string{"250"}
	if i%10 == 0 {
		dialog = append(dialog, "MAIL FROM:<eve@crowd.test>", "250", "RCPT TO:<"+system.Bob+">", "250", "DATA", "354",
			"Subject: refused\r\n\r\nbare\n\r\n.", "550")
	}
	if err := w.talk(dialog...); err != nil {
		return nil, err
	}
	w.in = nil // four kilobytes, ten thousand times, of our own
	return w.Conn, nil
}

// restingMemory is what the program takes when it is left alone, for long
// enough that Go's collector has been at work.
func (a *arena) restingMemory() int64 {
	least := system.Memory(a.PID())
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		least = min(least, system.Memory(a.PID()))
	}
	return least
}

// openFiles makes room for as many connections, if the system lets us, and
// skips the test if it does not. The program that is tested does the same for
// itself when it starts.
func openFiles(t *testing.T, want int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < uint64(want) {
		t.Skipf("only %d files may be open", limit.Max)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
