package imapserver

import (
	"context"

	"waxwing/proto/imap"
)

// smallestBatch is the least that a batch may hold: with smaller ones a client
// could count sequence numbers. RFC 10022 §3.1.3.2
const smallestBatch = 500

// uidBatches is UIDBATCHES: ranges of UIDs that hold equally many messages,
// the newest first, without a gap between them; the oldest begins with 1. It
// goes by the messages that the client has been told of. None holds more than
// one command may work on. RFC 10022 §3.1
func (c *conn) uidBatches(_ context.Context, cmd imap.UIDBatches) (reply, error) {
	switch {
	case cmd.Size < smallestBatch:
		return reply{}, &imap.Refusal{Code: "TOOFEW", Text: "Batches are too small"}
	case cmd.From > cmd.To:
		return reply{}, &imap.SyntaxError{Text: "[" + imap.CodeClientBug + "] Range is in the wrong order"}
	}
	v := c.view
	c.out.begin()
	c.out.b = imap.AppendString(append(c.out.b, "* UIDBATCHES (TAG "...), c.tag, false)
	c.out.b = append(c.out.b, ')')
	size, n := min(int(cmd.Size), c.server.options.MessageLimit), v.told.Len()
	separator := byte(' ')
	for i, end := 1, n; end > 0; i, end = i+1, end-size {
		if cmd.To > 0 && i > int(cmd.To) {
			break
		}
		if i < int(cmd.From) {
			continue
		}
		high, low := v.told.At(end-1).UID, uint32(1)
		if end < n { // a batch reaches up to the one before it
			high = v.told.At(end).UID - 1
		}
		if end > size {
			low = uint32(v.told.At(end - size).UID)
		}
		c.out.b = append(c.out.b, separator)
		c.out.b = appendUint(append(appendUint(c.out.b, uint64(high)), ':'), uint64(low))
		separator = ','
		if err := c.out.room(); err != nil {
			return reply{}, lost(err)
		}
	}
	c.out.b = append(c.out.b, '\r', '\n')
	return reply{}, nil
}
