package imapserver

import (
	"fmt"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// atMost keeps of spans what one command may work on: the messages with the
// highest UIDs. limit is the response code where there were more. RFC 9738 §3.1
func (c *conn) atMost(spans []span) (kept []span, limit string) {
	most := c.server.options.MessageLimit
	for i := len(spans) - 1; i >= 0; i-- {
		n := spans[i].to - spans[i].from
		if most == 0 {
			kept = spans[i+1:]
			return kept, c.messageLimit(c.view.told.At(kept[0].from).UID)
		}
		if n > most {
			spans[i].from = spans[i].to - most
			return spans[i:], c.messageLimit(c.view.told.At(spans[i].from).UID)
		}
		most -= n
	}
	return spans, ""
}

// messageLimit is the response code with the lowest UID that has been worked
// on.
func (c *conn) messageLimit(lowest mail.UID) string {
	return fmt.Sprintf("MESSAGELIMIT %d %d", c.server.options.MessageLimit, lowest)
}

// tooMany refuses what is done for all messages or for none. RFC 9738 §3.1
func (c *conn) tooMany(uids []mail.UID) error {
	n := c.server.options.MessageLimit
	if len(uids) <= n {
		return nil
	}
	return &imap.Refusal{
		Code: c.messageLimit(uids[len(uids)-n]), Text: "Too many messages, try a smaller subset",
	}
}
