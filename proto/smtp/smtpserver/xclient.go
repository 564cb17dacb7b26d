package smtpserver

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// trusted tells whether the client may speak for others.
func (c *conn) trusted() bool {
	peer := addrOf(c.raw.RemoteAddr())
	return c.options.TrustXCLIENT != nil && peer.IsValid() && c.options.TrustXCLIENT(peer)
}

// xclientAttributes lists what XCLIENT may tell here.
func (c *conn) xclientAttributes() string {
	if c.options.Impersonate == nil {
		return strings.Replace(smtp.XCLIENTAttributes, "LOGIN ", "", 1)
	}
	return smtp.XCLIENTAttributes
}

// xclient goes on as if another client had connected, whom a proxy in front
// of us speaks for. Postfix, XCLIENT_README: the session begins again, with
// the greeting.
func (c *conn) xclient(ctx context.Context, cmd smtp.Command) {
	if !c.trusted() {
		c.refuse(refuse(550, 5, 7, 0, "You may not speak for others"))
		return
	}
	x := cmd.(smtp.Xclient)
	if x.Login != nil && *x.Login != "" && c.options.Impersonate == nil {
		c.refuse(refuse(501, 5, 5, 4, "LOGIN is not supported"))
		return
	}
	info := c.info
	info.Remote = moved(info.Remote, x.Addr, x.Port)
	info.Local = moved(info.Local, x.DestAddr, x.DestPort)
	info.Identity, info.Hello, info.Extended, info.UTF8 = nil, "", x.Proto == "ESMTP", false
	if x.Name != nil {
		info.ReverseName = *x.Name
	}
	if x.Helo != nil {
		info.Hello = *x.Helo
	}
	if x.Login != nil && *x.Login != "" {
		who, err := c.options.Impersonate(ctx, *x.Login)
		if err != nil {
			c.refuse(&smtp.Refusal{Code: 501, Enhanced: smtp.Enhanced{5, 5, 4}, Text: "LOGIN names nobody", Err: err})
			return
		}
		info.Identity = &who
	}
	c.reset()
	c.session.Close()
	c.session = nil
	c.info = info
	c.log = c.server.logger(&c.info)
	c.info.Log = c.log
	c.state.greeted, c.state.extended = info.Hello != "", info.Extended
	c.state.authenticated = info.Identity != nil
	c.log.Info("client is spoken for", "proxy", addrOf(c.raw.RemoteAddr()).String(), obs.Remote, c.info.Addr().String())
	if c.open(ctx) != nil {
		c.welcome()
	}
}

// moved gives an address with another IP address or port. One that is not
// known any more has none.
func moved(a net.Addr, ip *netip.Addr, port *uint16) net.Addr {
	t, _ := a.(*net.TCPAddr)
	if t == nil {
		t = &net.TCPAddr{}
	}
	n := *t
	if ip != nil {
		n.IP, n.Zone = nil, ""
		if ip.IsValid() {
			n.IP = ip.AsSlice()
		}
		n.Port = 0
	}
	if port != nil {
		n.Port = int(*port)
	}
	return &n
}
