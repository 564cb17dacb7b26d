package config

// The comments of the fields below are the manual, as in config.go.

// Relay is how mail goes out to other servers.
type Relay struct {
	// Retry is how long the server waits before it tries again after a first
	// failure. Later pauses grow.
	Retry Duration `toml:"retry"`

	// GiveUp is when a message that could not be delivered goes back to its
	// sender.
	GiveUp Duration `toml:"give_up"`

	// TakeOver is after how long, where several servers share a database, one
	// takes over the messages that another was delivering when it died.
	TakeOver Duration `toml:"take_over"`

	// DelayWarning is after how long the sender is told, once, that a message
	// could not be delivered yet.
	DelayWarning Duration `toml:"delay_warning"`

	// RetryFactor is how much longer each further pause is: with 2 they double,
	// with 1 they stay equal.
	RetryFactor float64 `toml:"retry_factor"`

	// RetryLongest is the longest pause between two tries.
	RetryLongest Duration `toml:"retry_longest"`

	// RetryJitter is by which part of it each pause is made longer or shorter by
	// chance, so that what failed together does not come again together.
	RetryJitter float64 `toml:"retry_jitter"`

	// GiveUpBounces is how long a notification is tried, which nobody waits for.
	GiveUpBounces Duration `toml:"give_up_bounces"`

	// Schedules are other pauses for the mail to some domains. The first whose
	// domain fits counts.
	Schedules []Schedule `toml:"schedules"`

	// AtOnce is how many messages are tried at once.
	AtOnce int `toml:"at_once"`

	// PerDestination is how many messages are sent at once to the hosts of one
	// destination, at most. It begins with 5, and adapts to what they bear.
	PerDestination int `toml:"per_destination"`

	// Routes are for mail that goes another way than the DNS says: into another
	// mail store of yours, such as a Dovecot; over a smarthost, such as your
	// provider's; or from another address of this machine. The first that fits
	// counts.
	Routes []Route `toml:"routes"`

	// Transport is how mail to some domains is protected on its way, whatever
	// those domains have published themselves: by default DANE counts, then
	// MTA-STS, and TLS is used wherever it is offered (docs/transport.md). The
	// first whose domain fits counts.
	Transport []Transport `toml:"transport"`

	// Port is the port that other servers are called on. Anything but 25 is for
	// tests.
	Port int `toml:"port"`
}

// Schedule is when the mail to a domain is tried again. What is left out is as
// in [relay].
type Schedule struct {
	// Domain is the recipients' domain, or ".example.org" for all below
	// example.org.
	Domain string `toml:"domain"`

	// Retry is the pause after the first failure.
	Retry Duration `toml:"retry"`

	// RetryFactor is how much longer each further pause is.
	RetryFactor float64 `toml:"retry_factor"`

	// RetryLongest is the longest pause.
	RetryLongest Duration `toml:"retry_longest"`

	// GiveUp is when a message goes back to its sender.
	GiveUp Duration `toml:"give_up"`
}

// Route is the way for some mail. What is left out fits all.
type Route struct {
	// Domain is the recipients' domain, ".example.org" for all below
	// example.org, or "*" for every domain of ours. Left out it is every domain
	// that is not ours.
	Domain string `toml:"domain"`

	// Recipient is one recipient's address.
	Recipient string `toml:"recipient"`

	// Sender is the address that the message comes from (that of the envelope).
	Sender string `toml:"sender"`

	// SenderDomain is the domain that it comes from, or ".example.org".
	SenderDomain string `toml:"sender_domain"`

	// To is where it goes. "lmtp:127.0.0.1:24" and "unix:/run/dovecot/lmtp" are
	// mail stores that speak LMTP; mail for such a domain is taken from
	// strangers for all its addresses even if it is not one of ours.
	// "smtp:mail.example.net:587" is a smarthost, "smtps:mail.example.net" one
	// with TLS from the first byte, "mx:example.net" the mail exchangers of a
	// domain, and "direct" the way that the DNS says.
	To string `toml:"to"`

	// User is the name to log in with at a smarthost.
	User string `toml:"user"`

	// PasswordFile is a file with the password.
	PasswordFile string `toml:"password_file"`

	// TLS is "opportunistic" (used where it is offered, and as the host's DANE or
	// MTA-STS wants it, or a [[relay.transport]]), "require" (nothing goes
	// without, whatever the certificate) or "verify" (the certificate must be
	// for the host's name). Empty is "verify" with a user or "smtps:", else
	// "opportunistic".
	TLS string `toml:"tls"`

	// Sources are the addresses of this machine to send from, one of IPv4, of
	// IPv6, or one of each. With one alone, only that kind is used.
	Sources []string `toml:"sources"`

	// Hello is the name to greet with, if it is not the hostname: that to which
	// the source address resolves.
	Hello string `toml:"hello"`
}

// Transport is how mail to a domain is protected on its way.
type Transport struct {
	// Domain is the recipients' domain, ".example.org" for all below
	// example.org, or "*" for all. For mail that goes over a smarthost or to
	// "mx:example.net" it is the domain, or the name, of that.
	Domain string `toml:"domain"`

	// TLS is "none" (in the clear, for a server whose TLS is broken), "may" (used
	// where it is offered, whatever the certificate and whatever the domain has
	// published), "require" (nothing goes without, whatever the certificate),
	// "dane" (nothing goes unless DANE proves the server), "verify" (the
	// certificate must come from an authority and be for the server's name, or
	// for one of names) or "fingerprint" (the certificate or its key must be one
	// of fingerprints).
	TLS string `toml:"tls"`

	// Names are those of which a certificate must have one, with "verify". Give
	// the domain's own name, or those of its servers: without names, that of the
	// server counts as the DNS gives it, which may be forged.
	Names []string `toml:"names"`

	// Fingerprints are those of certificates ("sha256:" and 64 hexadecimal
	// digits, as "openssl x509 -fingerprint -sha256" prints them) or of public
	// keys ("key-sha256:"), with "fingerprint". Give the next one too before the
	// other side changes it.
	Fingerprints []string `toml:"fingerprints"`
}

// The values of Transport.TLS, beside TLSRequire and TLSVerify.
const (
	TLSNone        = "none"
	TLSMay         = "may"
	TLSDANE        = "dane"
	TLSFingerprint = "fingerprint"
)

// The values of Route.TLS.
const (
	TLSOpportunistic = "opportunistic"
	TLSRequire       = "require"
	TLSVerify        = "verify"
)
