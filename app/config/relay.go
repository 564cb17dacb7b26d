package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"waxwing/mail"
)

// relay checks what is said of mail on its way out.
func (d *decoder) relay(r Relay) {
	if r.Port < 1 || r.Port > 65535 {
		d.invalid("relay.port", "must be between 1 and 65535")
	}
	for path, length := range map[string]Duration{
		"relay.retry": r.Retry, "relay.delay_warning": r.DelayWarning, "relay.retry_longest": r.RetryLongest,
	} {
		if length <= 0 {
			d.invalid(path, "must be longer than nothing")
		}
	}
	for path, length := range map[string]Duration{"relay.give_up": r.GiveUp, "relay.give_up_bounces": r.GiveUpBounces} {
		if length < r.Retry {
			d.invalid(path, "must not be shorter than relay.retry")
		}
	}
	if r.TakeOver < Duration(5*time.Second) {
		d.invalid("relay.take_over", "must be at least 5s")
	}
	d.factor("relay.retry_factor", r.RetryFactor)
	if !(0 <= r.RetryJitter && r.RetryJitter <= 0.5) {
		d.invalid("relay.retry_jitter", "must be between 0 and 0.5")
	}
	for path, n := range map[string]int{"relay.at_once": r.AtOnce, "relay.per_destination": r.PerDestination} {
		if n < 1 || n > 10_000 {
			d.invalid(path, "must be between 1 and 10000")
		}
	}
	for i, s := range r.Schedules {
		path := fmt.Sprintf("relay.schedules[%d]", i)
		if !isDomainPattern(s.Domain) {
			d.invalid(path, "domain %q is neither a domain nor such as \".example.org\"", s.Domain)
		}
		if s.RetryFactor != 0 {
			d.factor(path, s.RetryFactor)
		}
		if s.GiveUp != 0 && s.GiveUp < max(s.Retry, r.Retry) {
			d.invalid(path, "give_up must not be shorter than retry")
		}
	}
	for i, route := range r.Routes {
		d.route(fmt.Sprintf("relay.routes[%d]", i), route)
	}
	for i, t := range r.Transport {
		d.transport(fmt.Sprintf("relay.transport[%d]", i), t)
	}
}

func (d *decoder) factor(path string, n float64) {
	if !(1 <= n && n <= 100) {
		d.invalid(path, "retry_factor must be between 1 and 100")
	}
}

// isDomainPattern holds for "example.org" and ".example.org".
func isDomainPattern(s string) bool {
	s = strings.TrimPrefix(s, ".")
	return IsHostname(s) || s != "" && !strings.Contains(s, ".") && IsHostname(s+".x")
}

// route checks one way.
func (d *decoder) route(path string, r Route) {
	if r.Domain != "" && r.Domain != "*" && !isDomainPattern(r.Domain) {
		d.invalid(path, "domain %q is neither a domain nor \"*\"", r.Domain)
	}
	if r.SenderDomain != "" && !isDomainPattern(r.SenderDomain) {
		d.invalid(path, "sender_domain %q is not a domain", r.SenderDomain)
	}
	for key, address := range map[string]string{"recipient": r.Recipient, "sender": r.Sender} {
		if address == "" {
			continue
		}
		if _, err := mail.ParseAddress(address); err != nil {
			d.invalid(path, "%s %q is not an address: %v", key, address, err)
		}
	}
	if d.destination(path, r) {
		d.protection(path, r)
	}
	if r.Hello != "" && !IsHostname(r.Hello) {
		d.invalid(path, "hello %q is not a full host name", r.Hello)
	}
	four, six := 0, 0
	for _, source := range r.Sources {
		switch ip, err := netip.ParseAddr(source); {
		case err != nil:
			d.invalid(path, "source %q is not an IP address", source)
		case ip.Is4():
			four++
		default:
			six++
		}
	}
	if four > 1 || six > 1 {
		d.invalid(path, "sources may have one address of IPv4 and one of IPv6")
	}
}

// destination checks where a way leads, and tells whether that is by SMTP.
func (d *decoder) destination(path string, r Route) (smtp bool) {
	kind, at, _ := strings.Cut(r.To, ":")
	host, port, err := net.SplitHostPort(at)
	switch kind {
	case "unix", "lmtp":
		if !(kind == "unix" && strings.HasPrefix(at, "/")) && !(kind == "lmtp" && err == nil && port != "" && port != "25") {
			d.invalid(path, "%q must be such as \"lmtp:127.0.0.1:24\" (not port 25) or \"unix:/run/dovecot/lmtp\"", r.To)
		}
		if r.Domain == "" {
			d.invalid(path, "a way to a store needs the domain whose mail is there, or \"*\" for all that are ours")
		}
		if r.User != "" || r.PasswordFile != "" || r.TLS != "" || len(r.Sources) > 0 || r.Hello != "" {
			d.invalid(path, "user, password_file, tls, sources and hello are for ways by SMTP, not for %q", r.To)
		}
		return false
	case "smtp", "smtps":
		if err != nil {
			host = at
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && !isDomainPattern(host) {
			d.invalid(path, "%q must be such as \"%s:mail.example.net\" or \"%s:192.0.2.1:587\"", r.To, kind, kind)
		}
	case "mx":
		if !isDomainPattern(at) {
			d.invalid(path, "%q must be such as \"mx:example.net\"", r.To)
		}
	default:
		if r.To != "direct" {
			d.invalid(path, "%q must begin with smtp:, smtps:, mx:, lmtp: or unix:, or be \"direct\"", r.To)
		}
	}
	return true
}

// protection checks logging in and TLS.
func (d *decoder) protection(path string, r Route) {
	switch r.TLS {
	case "", TLSOpportunistic, TLSRequire, TLSVerify:
	default:
		text := ""
		if near := nearest(r.TLS, []string{TLSOpportunistic, TLSRequire, TLSVerify}); near != "" {
			text = "; did you mean \"" + near + "\"?"
		}
		d.invalid(path, "tls %q is none of opportunistic, require and verify%s", r.TLS, text)
	}
	if (r.User == "") != (r.PasswordFile == "") {
		d.invalid(path, "user and password_file go together")
	}
	if r.User != "" && !strings.HasPrefix(r.To, "smtp") {
		d.invalid(path, "user is for a smarthost (smtp: or smtps:), not for %q", r.To)
	}
	if r.User != "" && r.TLS == TLSOpportunistic {
		d.invalid(path, "the password would travel without TLS; tls must be \"verify\", or \"require\" for a host without a certificate of its name")
	}
}
