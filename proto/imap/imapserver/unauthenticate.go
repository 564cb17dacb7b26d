package imapserver

import (
	"context"
	"time"

	"waxwing/proto/imap"
)

// unauthenticate is UNAUTHENTICATE: all is as it was before the login, but for
// TLS. The failures that were counted stay, so that nobody guesses passwords
// between two logins. RFC 8437 §3
//
// Where the connection is compressed it ends, as §3 permits: where the
// client's layer ends within what has been read nobody can tell.
func (c *conn) unauthenticate(context.Context, imap.Bare) (reply, error) {
	if c.compressed {
		c.bye("", "Compression cannot be undone")
		return reply{}, errSaid
	}
	c.deselect()
	c.stopNotify()
	c.account.Close()
	c.server.exit(c.who)
	c.account, c.who = nil, 0
	c.rev2, c.utf8, c.condstore, c.qresync, c.uidOnly, c.german = false, false, false, false, false, false
	c.state, c.faults = notAuthenticated, 0
	c.deadline = time.Now().Add(c.server.options.LoginTimeout)
	c.info.Log.Info("logged out")
	c.info.Log = c.log
	return reply{}, nil
}
