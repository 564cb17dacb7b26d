package app

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"waxwing/app/certs"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/pop3/pop3server"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/submission"
	"waxwing/serve/web"
)

// honoured are the wishes about a message that receive, submit and relay
// carry out.
const honoured = smtp.DSN | smtp.DeliverBy | smtp.MTPriority | smtp.RequireTLS | smtp.NoSoliciting

// mxOptions is how other servers are served.
func (a *App) mxOptions() smtpserver.Options {
	c := a.config
	return smtpserver.Options{
		Honours: honoured, Unsolicited: strings.Join(c.Limits.Unsolicited, ","),
		Proxies: a.proxies.trusted, TrustXCLIENT: a.proxies.mayXCLIENT,
		Hostname: c.Hostname, Service: serviceMX, Log: a.log,
		TLS:     certs.ServerConfig(a.certs.source),
		MaxSize: c.Limits.MessageSize.Octets(), MaxRecipients: c.Limits.Recipients,
		MaxMessages: c.Limits.MessagesPerConnection, MaxDomains: c.Limits.RecipientDomains,
		MaxConnections: c.Limits.Connections, MaxPerAddress: c.Limits.ConnectionsPerAddress,
		DrainTimeout: drainTimeout,
	}
}

// submissionOptions is how our users' programs are served that send mail.
func (a *App) submissionOptions(service string, logins sasl.Backend, o Options) smtpserver.Options {
	options := a.mxOptions()
	options.Service = service
	options.ImplicitTLS = service == serviceSubmissions // RFC 8314 §3.3
	options.Auth, options.RequireAuth = logins, true    // RFC 6409 §4.3
	options.RequireTLS, options.PlaintextAuth = !o.PlaintextLogins, o.PlaintextLogins
	options.Newlines = smtpserver.NormaliseBareNewlines
	options.Honours |= smtp.FutureRelease | smtp.XVERP // RFC 4865 §4.2 (2)
	options.MaxHold = a.config.Limits.Hold.Std()
	options.Fetch = submission.NewURLs(append([]string{a.config.Hostname}, a.config.TLS.Names...),
		func(ctx context.Context, who sasl.Identity, url string) (*imapserver.URLData, error) {
			return a.accounts.OpenURL(ctx, who, url)
		})
	options.Unsolicited = "" // our own users may advertise
	return options
}

// lmtpOptions is how a mail system in front of us is served.
func (a *App) lmtpOptions() smtpserver.Options {
	options := a.mxOptions()
	options.Service, options.LMTP = serviceLMTP, true
	options.Newlines = smtpserver.NormaliseBareNewlines // it has taken the message, and could only lose it
	options.MaxPerAddress = options.MaxConnections
	options.MaxMessages, options.MaxDomains = 0, 0 // the mail system in front has its own
	return options
}

// proxies are those who may speak for clients.
type proxies struct{ trusted, xclient []netip.Prefix }

// mayXCLIENT tells whether a client may use XCLIENT.
func (p proxies) mayXCLIENT(a netip.Addr) bool {
	return slices.ContainsFunc(p.xclient, func(n netip.Prefix) bool { return n.Contains(a) })
}

func (a *App) imapOptions(service string, logins sasl.Backend, o Options) imapserver.Options {
	c := a.config
	return imapserver.Options{
		Hostname: c.Hostname, Log: a.log, Version: Version(),
		TLS: certs.ServerConfig(a.certs.source, "imap"), ImplicitTLS: service == serviceIMAPS, // RFC 8314 §3.2
		Auth: logins, PlaintextOnLoopback: o.PlaintextLogins,
		MaxMessage:     c.Limits.MessageSize.Octets(),
		MaxConnections: c.Limits.Connections, MaxPerAddress: c.Limits.ConnectionsPerAddress,
		DrainTimeout: drainTimeout, Proxies: a.proxies.trusted,
	}
}

func (a *App) pop3Options(service string, logins sasl.Backend, o Options) pop3server.Options {
	c := a.config
	return pop3server.Options{
		Hostname: c.Hostname, Log: a.log,
		TLS: certs.ServerConfig(a.certs.source, "pop3"), ImplicitTLS: service == servicePOP3S, // RFC 8314 §3.2
		Auth: logins, PlaintextOnLoopback: o.PlaintextLogins,
		MaxConnections: c.Limits.Connections, MaxPerAddress: c.Limits.ConnectionsPerAddress,
		DrainTimeout: drainTimeout, Proxies: a.proxies.trusted,
	}
}

// plainPages is what the http service says: answers to the certificate
// authority, and the way to https.
func (a *App) plainPages() http.Handler {
	redirect := web.Redirect(a.config.Hostname, strconv.Itoa(a.sockets.endpoint(serviceHTTPS).Port))
	if a.certs.acme != nil {
		return a.certs.acme(redirect)
	}
	return redirect
}

// settings is what a person types into a mail program.
func (a *App) settings() []web.Setting {
	var settings []web.Setting
	for _, s := range []web.Setting{
		{Service: serviceIMAPS, TLS: "TLS"},
		{Service: serviceIMAP, TLS: "STARTTLS"},
		{Service: servicePOP3S, TLS: "TLS"},
		{Service: servicePOP3, TLS: "STARTTLS"},
		{Service: serviceSubmissions, TLS: "TLS"},
		{Service: serviceSubmission, TLS: "STARTTLS"},
	} {
		at := a.sockets.endpoint(s.Service)
		if at.Port == 0 {
			continue
		}
		s.Port = at.Port
		switch s.Service {
		case serviceIMAPS, serviceIMAP:
			s.Service = "IMAP (reading)"
		case servicePOP3S, servicePOP3:
			s.Service = "POP3 (fetching)"
		default:
			s.Service = "SMTP (sending)"
		}
		settings = append(settings, s)
	}
	return settings
}
