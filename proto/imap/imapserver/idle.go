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
		line, err := c.in.line(nil, 512, c.patience())
		if err != nil {
			return reply{}, lost(err)
		}
		if !strings.EqualFold(string(line), "DONE") {
			return reply{}, &imap.SyntaxError{Text: "Expected DONE"}
		}
		return reply{}, nil
	}
}
