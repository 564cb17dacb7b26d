package relay

import (
	"errors"
	"net/netip"
	"strings"

	"waxwing/proto/smtp/smtpclient"
)

// errOurselves says that a mail host is this server, by another name or address
// than those that are known here. Hosts that are less preferred are not asked
// then. RFC 5321 §5.1
var errOurselves = errors.New("the host greets with our own name")

// loop tells that the DNS has led us to ourselves: it is a *smtp.Refusal, or nil
// if the host is another. A name that is none in the DNS may be anybody's.
func (d *dialer) loop(c *smtpclient.Client, host string, at netip.AddrPort, r Route) error {
	named := r.Host == "" && !strings.HasPrefix(host, "[") || r.MX
	if !named || !strings.Contains(d.hostname, ".") || !strings.EqualFold(helo(c.Greeting()), d.hostname) {
		return nil
	}
	refusal := ownRefusal(5, 4, 6, "mail loops back to us: the mail host %s greets with our own name", remote(host, at))
	refusal.Err = errOurselves
	return refusal
}
