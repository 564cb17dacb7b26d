package imapserver

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A countedConn counts how often its deadline is moved.
type countedConn struct {
	net.Conn
	moved atomic.Int32
}

func (c *countedConn) SetReadDeadline(t time.Time) error {
	c.moved.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func newInput(ctx context.Context, conn net.Conn) *input {
	in := &input{conn: conn, flush: func() error { return nil }, rest: func() {}, ctx: ctx}
	in.raw.Store(&conn)
	return in
}

// Whoever is busy does not have the deadline moved for each command; and a wait
// ends when it should, not when one before it should have.
func TestDeadlinesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		conn := &countedConn{Conn: server}
		in := newInput(t.Context(), conn)
		go func() {
			for range 1000 {
				time.Sleep(10 * time.Millisecond)
				if _, err := client.Write([]byte("a NOOP\r\n")); err != nil {
					t.Error(err)
				}
			}
		}()
		var line []byte
		for range 1000 {
			err := in.await(time.Now().Add(time.Minute), nil)
			if err == nil {
				line, err = in.line(line[:0], 100, time.Minute)
			}
			if err != nil || string(line) != "a NOOP" {
				t.Fatalf("%q, %v", line, err)
			}
		}
		if n := conn.moved.Load(); n > 10 { // ten seconds have passed
			t.Errorf("the deadline was moved %d times", n)
		}
		begun := time.Now()
		if err := in.await(begun.Add(time.Minute), nil); err != errIdle || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v, not after a minute", err, time.Since(begun))
		}
	})
}

// A wake is not lost, whenever it comes: before a wait, in it, or between.
func TestWakesAreHeard(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			in := newInput(ctx, server)
			go func() {
				if _, err := client.Write([]byte("a NOOP\r\n")); err != nil {
					t.Error(err)
				}
			}()
			err := in.await(time.Now().Add(time.Minute), nil)
			if err == nil {
				_, err = in.line(nil, 100, time.Minute)
			}
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			defer context.AfterFunc(ctx, in.wake)()
			if after == 0 {
				cancel()
			} else {
				time.AfterFunc(after, cancel)
			}
			if err := in.await(begun.Add(time.Minute), nil); !errors.Is(err, errDraining) || time.Since(begun) != after {
				t.Errorf("%v after %v, want the end after %v", err, time.Since(begun), after)
			}
			cancel()
		})
	}
}
