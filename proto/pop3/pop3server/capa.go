package pop3server

import (
	"strconv"
	"strings"
	"time"

	"waxwing/proto/pop3"
	"waxwing/proto/sasl"
)

// capabilities is CAPA. All but STLS stand in both states. RFC 2449 §5
func (c *conn) capabilities(pop3.Command) {
	o := &c.server.options
	c.ok(pop3.CapabilityList)
	c.out.line("TOP")                        // RFC 2449 §6.1
	c.out.line("UIDL")                       // RFC 2449 §6.8
	c.out.line("RESP-CODES")                 // RFC 2449 §6.4
	c.out.line("AUTH-RESP-CODE")             // RFC 3206 §6
	c.out.line("PIPELINING")                 // RFC 2449 §6.6
	c.out.line("UTF8 USER")                  // RFC 6856 §2.2
	c.out.line("LANG")                       // RFC 6856 §3.1
	c.out.line("IMPLEMENTATION Waxwing")     // RFC 2449 §6.9
	c.out.line("EXPIRE " + expire(o.Expire)) // RFC 2449 §6.7
	c.out.line("LOGIN-DELAY " + strconv.FormatInt(int64((o.LoginDelay+time.Second-1)/time.Second), 10))
	if o.Auth != nil {
		c.out.line("SASL " + strings.Join(c.mechanisms(), " ")) // RFC 5034 §3
	}
	if c.plaintextAllowed() {
		c.out.line("USER") // RFC 2449 §6.2
	}
	if c.state == authorization && o.TLS != nil && c.info.TLS == nil && !c.utf8 {
		c.out.line("STLS") // RFC 2595 §4
	}
	c.out.line(".")
}

func expire(days int) string {
	if days <= 0 {
		return "NEVER"
	}
	return strconv.Itoa(days)
}

func (c *conn) mechanisms() []string { return sasl.Mechanisms(c.channel()) }

// channel is what SASL may know of the connection.
func (c *conn) channel() sasl.Channel {
	return sasl.Channel{
		Peer:             sasl.Peer{Addr: c.info.Addr(), Service: c.server.options.service(), TLS: c.info.TLS != nil},
		TLS:              c.info.TLS,
		Certificate:      c.certificate,
		PlaintextAllowed: c.plaintextAllowed(),
		Tokens:           c.server.options.Tokens,
	}
}

// plaintextAllowed tells whether passwords may be shown on this connection.
// RFC 8314 §3, RFC 5034 §4
func (c *conn) plaintextAllowed() bool {
	o := &c.server.options
	return o.Auth != nil && (c.info.TLS != nil || o.PlaintextAuth || o.PlaintextOnLoopback && c.info.Addr().IsLoopback())
}
