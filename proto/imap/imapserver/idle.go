package imapserver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"waxwing/proto/imap"
)

// idle is IDLE: the news of the mailbox is told as it happens, until the
// client says DONE. RFC 2177, RFC 9051 §6.3.13
//
// While nothing happens the connection's goroutine waits in a read, with
// next to no memory; whoever changes the mailbox wakes it.
func (c *conn) idle(ctx context.Context, _ imap.Bare) (reply, error) {
	c.out.line("+ idling")
	var poked atomic.Bool
	defer c.listen(&poked)()
	until := time.Now().Add(c.server.options.IdleTimeout)
	for {
		// With NOTIFY, what that has asked for. RFC 5465 §4
		if err := c.tellNews(newsAll, false, "IDLE"); err != nil {
			return reply{}, lost(err)
		}
		err := c.in.await(until, func() error {
			if poked.CompareAndSwap(true, false) {
				return errPoked
			}
			return nil
		})
		if errors.Is(err, errPoked) {
			continue
		}
		if err != nil {
			return reply{}, lost(err)
		}
		return reply{}, c.readDone()
	}
}

// readDone reads what ends IDLE.
func (c *conn) readDone() error {
	line, err := c.in.line(nil, 512, c.patience())
	if err != nil {
		return lost(err)
	}
	if !strings.EqualFold(string(line), "DONE") {
		return &imap.SyntaxError{Text: "Expected DONE"}
	}
	return nil
}

// listen wakes the connection when there may be news, until stop is called.
// poked then says so.
func (c *conn) listen(poked *atomic.Bool) (stop func()) {
	poke := func() {
		poked.Store(true)
		c.in.wake()
	}
	cancel := func() {}
	if c.view != nil && (c.notifying == nil || c.notifying.selected != 0) {
		cancel = c.view.mailbox.Subscribe(poke)
	}
	if c.notifying == nil || c.notifying.watch == nil {
		return cancel
	}
	others := c.notifying.watch.Changed()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-others:
				poke()
			}
		}
	}()
	return func() { close(end); <-ended; cancel() }
}

// awaitNews waits for a command, and tells what happens meanwhile.
func (c *conn) awaitNews(until time.Time) error {
	if c.in.buffered() {
		return nil
	}
	var poked atomic.Bool
	defer c.listen(&poked)()
	between := newsAll
	if c.notifying.delayed { // RFC 5465 §6.1.2
		between = newsKeeping
	}
	for {
		if c.notifying.selected == 0 {
			between = newsNone
		}
		if err := c.tellNews(between, true, ""); err != nil {
			return err
		}
		err := c.in.await(until, func() error {
			if poked.CompareAndSwap(true, false) {
				return errPoked
			}
			return nil
		})
		if !errors.Is(err, errPoked) {
			return err
		}
	}
}
