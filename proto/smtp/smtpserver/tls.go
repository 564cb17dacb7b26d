package smtpserver

import (
	"context"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// handshakeTimeout bounds a TLS handshake.
const handshakeTimeout = time.Minute

// startTLS goes on under TLS. RFC 3207 §4
func (c *conn) startTLS(ctx context.Context, _ smtp.Command) {
	switch {
	case c.state.tls:
		c.refuse(refuse(503, 5, 5, 1, "TLS is already in use"))
		return
	case !c.state.offered.Has(smtp.STARTTLS):
		c.refuse(refuse(502, 5, 5, 1, "STARTTLS is not offered"))
		return
	case c.state.authenticated:
		// What is known of the client must be discarded (RFC 3207 §4.2), and
		// a login cannot be.
		c.refuse(refuse(503, 5, 5, 1, "STARTTLS comes before AUTH"))
		return
	case len(c.in.buffered()) > 0:
		// Someone else may have put these bytes in front of the client's
		// handshake, to have them taken for the client's own. RFC 3207 §6
		c.in.discard()
		c.log.Info("bytes after STARTTLS")
		c.refuse(refuse(501, 5, 5, 1, "Nothing may follow STARTTLS"))
		c.quit = true
		return
	}
	c.reply(ok(220, 0, 0, "Ready to start TLS"))
	c.flush()
	if c.failed != nil || !c.handshake(ctx) {
		c.quit = true
		return
	}
	// The client has said nothing so far. RFC 3207 §4.2
	c.state.greeted, c.state.extended = false, false
	c.info.Hello, c.info.Extended = "", false
}

// handshake puts TLS between us and the client.
func (c *conn) handshake(ctx context.Context) bool {
	_ = c.raw.SetDeadline(time.Now().Add(handshakeTimeout)) // the handshake fails as well then
	c.readBy, c.writeBy = time.Time{}, time.Time{}
	t, leaf, err := c.server.secure.Handshake(ctx, c.raw)
	if err != nil {
		c.log.Info("tls handshake failed", obs.Err, err)
		return false
	}
	state := t.ConnectionState()
	c.nc, c.leaf, c.info.TLS = t, leaf, &state
	c.state.tls = true
	return true
}
