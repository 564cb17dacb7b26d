package config

// The comments of the fields below are the manual: they are copied into the
// sample file and into docs/configuration.md. Write them for an administrator.

// Config is the whole file.
type Config struct {
	// Hostname is the name by which this server is known to others: the name
	// that MX records point to, that SMTP greets with and that certificates are
	// made for. Its address must resolve back to it, or other servers will
	// distrust what is sent from here.
	Hostname string `toml:"hostname"`

	// Data is the directory that holds everything: mail, accounts, queue, keys
	// and the administration socket. A relative name is relative to this file.
	Data string `toml:"data"`

	// User is the system user that the server becomes after it has opened its
	// ports, when it is started by root. Leave it empty when systemd starts the
	// server under its own user already.
	User string `toml:"user"`

	Store   Store   `toml:"store"`
	Blobs   Blobs   `toml:"blobs"`
	Listen  Listen  `toml:"listen"`
	TLS     TLS     `toml:"tls"`
	Limits  Limits  `toml:"limits"`
	Door    Door    `toml:"door"`
	Trust   Trust   `toml:"trust"`
	Sending Sending `toml:"sending"`
	Mailbox Mailbox `toml:"mailbox"`
	Filters Filters `toml:"filters"`

	Envelope Envelope `toml:"envelope"`
	DKIM     DKIM     `toml:"dkim"`
	MTASTS   MTASTS   `toml:"mta_sts"`

	Relay   Relay   `toml:"relay"`
	Reports Reports `toml:"reports"`
	Trace   Trace   `toml:"trace"`
	Proxy   Proxy   `toml:"proxy"`
	DNS     DNS     `toml:"dns"`
	Log     Log     `toml:"log"`

	// File is the file that this was read from; not a key.
	File string `toml:"-"`
}

// Store is where mail, accounts and queue are kept.
type Store struct {
	// URL names the storage engine. "pebble:" is the built-in engine, in the
	// data directory. "postgres://waxwing@db.example.org/waxwing" is a database
	// on a PostgreSQL server, version 15 or later; several servers may share it.
	// Give the password in a file, with "?passfile=/etc/waxwing/pgpass". The
	// administration manual has more.
	URL string `toml:"url"`
}

// Blobs is where bodies of more than 96 KiB are kept, before the store names
// them.
type Blobs struct {
	// URL names the place. "files:" is the data directory. "s3://BUCKET" or
	// "s3://BUCKET/PREFIX" is a bucket on an S3 server, which several servers
	// may share; it has to be there already. Servers that share a PostgreSQL
	// database need the same one.
	URL string `toml:"url"`

	// Endpoint is the S3 server, such as "https://s3.example.org" or
	// "http://127.0.0.1:9000". Empty for Amazon's.
	Endpoint string `toml:"endpoint"`

	// Region is the region of the bucket, such as "eu-central-1". Empty to ask
	// the server for it.
	Region string `toml:"region"`

	// Credentials is a file with those for S3, in the form of
	// ~/.aws/credentials. Empty to take them from the environment
	// (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or from the machine's role.
	Credentials string `toml:"credentials"`

	// Roots is a PEM file with the certificates to trust when talking to the S3
	// server. Empty for those of the system.
	Roots string `toml:"roots"`

	// Address is where the bucket's name is put: before that of the server
	// ("host"), into the path ("path"), or the former at Amazon's and the latter
	// elsewhere ("auto").
	Address string `toml:"address"`

	// Compress stores compressed what gets smaller by it: in files when they are
	// some hours old, in S3 at once.
	Compress bool `toml:"compress"`
}

// The values of Blobs.Address.
const (
	AddressAuto = "auto"
	AddressHost = "host"
	AddressPath = "path"
)

// Listen is which services run, and where. Each is a list of addresses such as
// ":25" (every address of the machine), "192.0.2.1:25" or "[2001:db8::1]:25".
// An empty list turns the service off. Sockets that systemd hands over under
// the service's name are used instead of the list.
type Listen struct {
	// MX takes mail from other servers.
	MX []string `toml:"mx"`

	// LMTP takes mail from another mail system of yours that stands in front of
	// this one, such as a Postfix. Besides addresses, "unix:/run/waxwing/lmtp"
	// is a socket in the file system. Everybody who reaches it may deliver, so
	// it must not be open to strangers; it is off unless you say where.
	LMTP []string `toml:"lmtp"`

	// Submissions takes mail from our users' programs, encrypted from the first
	// byte. It is the port that mail programs should use.
	Submissions []string `toml:"submissions"`

	// Submission takes mail from our users' programs, encrypted after STARTTLS.
	Submission []string `toml:"submission"`

	// IMAPS lets mail programs read mail, encrypted from the first byte.
	IMAPS []string `toml:"imaps"`

	// IMAP lets mail programs read mail, encrypted after STARTTLS.
	IMAP []string `toml:"imap"`

	// POP3S lets mail programs fetch mail, encrypted from the first byte.
	POP3S []string `toml:"pop3s"`

	// POP3 lets mail programs fetch mail, encrypted after STLS.
	POP3 []string `toml:"pop3"`

	// HTTPS serves the web pages and /healthz, and answers the ACME challenge
	// TLS-ALPN-01 when it is port 443.
	HTTPS []string `toml:"https"`

	// HTTP answers the ACME challenge HTTP-01 when it is port 80, and sends
	// everything else to HTTPS.
	HTTP []string `toml:"http"`
}

// TLS is where certificates come from.
type TLS struct {
	// Source is "acme" (certificates are fetched and renewed by themselves, from
	// Let's Encrypt unless another authority is named below), "files" (you
	// provide them) or "own-ca" (signed by a private authority in the data
	// directory: for trials, and where no client is a stranger).
	Source string `toml:"source"`

	// Names are further names that the certificate shall hold besides hostname,
	// such as "mail.example.org" or "imap.example.org". Not used with "files".
	Names []string `toml:"names"`

	// Files are the certificates for the source "files". Changed files are
	// noticed and used without a restart.
	Files []KeyPair `toml:"files"`

	ACME ACME `toml:"acme"`

	// RotateKey is after how long certificates get another key, with "acme". The
	// next key is made ahead, and used only when its TLSA record is seen in the
	// DNS, if the host has such records. "0s" keeps the key for good.
	RotateKey Duration `toml:"rotate_key"`
}

// KeyPair is one certificate with its private key.
type KeyPair struct {
	// Certificate is a PEM file with the certificate, followed by the
	// intermediate ones.
	Certificate string `toml:"certificate"`

	// Key is a PEM file with the private key. Nobody but the server's user
	// should be able to read it.
	Key string `toml:"key"`
}

// ACME is how certificates are fetched when source is "acme". Using it means
// that you agree to the authority's terms of service.
type ACME struct {
	// Email is where the authority may write to about your certificates.
	// Optional.
	Email string `toml:"email"`

	// Directory is the address of the authority's ACME directory.
	Directory string `toml:"directory"`

	// Roots is a PEM file with the certificates to trust when talking to the
	// authority, for a private one. Empty for those of the system.
	Roots string `toml:"roots"`
}

// Limits is what strangers and users cannot go beyond.
type Limits struct {
	// MessageSize is the largest message that is taken, from anybody.
	MessageSize Size `toml:"message_size"`

	// Recipients is how many recipients one message may have on its way in.
	Recipients int `toml:"recipients"`

	// Connections is how many connections each service serves at a time.
	Connections int `toml:"connections"`

	// ConnectionsPerAddress is how many connections one address (one /64 of
	// IPv6) may have to each service at a time.
	ConnectionsPerAddress int `toml:"connections_per_address"`

	// Hold is for how long a program may ask to hold a message back before it
	// is sent ("send later").
	Hold Duration `toml:"hold"`

	// Unsolicited are classes of advertisement that are not taken from other
	// servers that label them, such as "net.example:ADV" (RFC 3865). Few do.
	Unsolicited []string `toml:"unsolicited"`

	// HeldPerAccount is how much mail one account may have waiting that is to be
	// sent later. "0" for no limit.
	HeldPerAccount Size `toml:"held_per_account"`

	// MessagesPerConnection is how many messages one connection may bring before
	// the sender has to come again; it is told so beforehand (RFC 9422). 0 for no
	// limit.
	MessagesPerConnection int `toml:"messages_per_connection"`

	// RecipientDomains is how many domains the recipients of one message may be
	// of; senders are told beforehand (RFC 9422). 0 for no limit.
	RecipientDomains int `toml:"recipient_domains"`
}

// Door is who may bring mail from outside, to the service mx. "Who is let in"
// (door.md) explains it all.
type Door struct {
	// Trusted are addresses and networks for which none of this holds, nor what
	// [sending] says. Empty the list to check this machine too.
	Trusted []string `toml:"trusted"`

	// ConnectionsPerMinute is how many connections one address (one /64 of IPv6)
	// may make in a minute. 0 for no limit.
	ConnectionsPerMinute int `toml:"connections_per_minute"`

	// MessagesPerHour is how many messages one address may bring in an hour. 0
	// for no limit.
	MessagesPerHour int `toml:"messages_per_hour"`

	// RecipientsPerHour is how many recipients those may have. 0 for no limit.
	RecipientsPerHour int `toml:"recipients_per_hour"`

	// UnknownRecipients is how many addresses that do not exist a host may write
	// to in an hour before its guesses are answered slowly, each slower than the
	// one before. 0 for any number.
	UnknownRecipients int `toml:"unknown_recipients"`

	// MaxUnknownRecipients is how many of them it may name in an hour at all. 0
	// for any number.
	MaxUnknownRecipients int `toml:"max_unknown_recipients"`

	// GreetingDelay is how long a host that has never brought mail waits for the
	// greeting. One that does not wait is refused. "0s" to greet at once.
	GreetingDelay Duration `toml:"greeting_delay"`

	// ReverseName says what it means that a host has no name in the DNS that
	// leads back to its address: "refuse", "mark" (it is suspicious) or
	// "ignore".
	ReverseName string `toml:"reverse_name"`

	// Hello says the same of a host that calls itself something that cannot be:
	// our own name, an address, a name that does not exist.
	Hello string `toml:"hello"`

	// Greylist says whose mail is put off at first, for the host to come back: of
	// "suspicious" hosts, of all "strangers", or "off".
	Greylist string `toml:"greylist"`

	// GreylistDelay is for how long.
	GreylistDelay Duration `toml:"greylist_delay"`

	// GreylistPasses is how many messages from a network have to come back until
	// it is not put off any more.
	GreylistPasses int `toml:"greylist_passes"`

	// ListScore is the weight that the block lists which hold a host must have
	// together for it to be refused. 0 never refuses for them.
	ListScore int `toml:"list_score"`

	// Lists are block lists and allow lists in the DNS. Without any, nobody is
	// asked about those who write to you.
	Lists []DNSList `toml:"lists"`
}

// DNSList is a list of hosts or domains that is published in the DNS.
type DNSList struct {
	// Zone is its name, such as "zen.spamhaus.org".
	Zone string `toml:"zone"`

	// Domains says that it lists senders' domains; else it lists addresses.
	Domains bool `toml:"domains"`

	// Codes are the answers that count, such as "127.0.0.2", "127.0.0.2-11",
	// "127.0.*.3" or "127.0.0.&4" (bits that are set). Empty for all.
	Codes []string `toml:"codes"`

	// Weight is what being listed counts for, 1 unless given.
	Weight int `toml:"weight"`

	// Allow says that it is an allow list: whom it holds no block list refuses.
	Allow bool `toml:"allow"`
}

// Trust is how mail from others is verified, and what follows: SPF, DKIM, DMARC
// and ARC. docs/trust.md says more.
type Trust struct {
	// Unverified are addresses and networks whose mail is not verified: your own
	// machines.
	Unverified []string `toml:"unverified"`

	// DMARC says how far it is done what the domain in From wants done with mail
	// that is not proven to be its own: "enforce" refuses it or sets it aside as
	// junk, as the domain says; "junk" only ever sets aside; "off" does nothing.
	DMARC string `toml:"dmarc"`

	// Domains say otherwise for single domains.
	Domains []TrustDomain `toml:"domains"`

	// Sealers are domains that pass mail on to you and are believed about what
	// they have changed in it, such as those of mailing lists: if they have found
	// it genuine, and sealed that (ARC), it is taken. What lies below a domain is
	// meant too.
	Sealers []string `toml:"sealers"`

	// SPF says what it means that the domain in MAIL FROM forbids the host to
	// send for it, and that the one in From has no DMARC policy: "refuse", "mark"
	// (it is suspicious, and greylisted if nothing speaks for it) or "ignore".
	SPF string `toml:"spf"`

	// Unknown says what becomes of mail that cannot be verified because the DNS
	// does not answer: "accept" or "defer", for the sender to try again later. What
	// is accepted goes to Junk if its author's domain wants unproven mail kept out.
	Unknown string `toml:"unknown"`

	// Indicators has the picture looked up that a domain wants shown beside its
	// mail (BIMI), if the mail is proven to be the domain's and its DMARC policy
	// is strict. Where the picture is stands in the message for mail readers to
	// see, as BIMI-Location; it is not fetched.
	Indicators bool `toml:"indicators"`
}

// TrustDomain is a domain whose policy is heeded in another way.
type TrustDomain struct {
	// Domain is the domain in From; what lies below it is meant too.
	Domain string `toml:"domain"`

	// DMARC is "enforce", "junk" or "off".
	DMARC string `toml:"dmarc"`
}

// Sending is how much an account may send. It limits what a thief of a password
// can do. 0 is no limit in each case.
type Sending struct {
	// MessagesPerHour is how many messages an account may send in an hour; more
	// have to wait.
	MessagesPerHour int `toml:"messages_per_hour"`

	// RecipientsPerHour is to how many different addresses.
	RecipientsPerHour int `toml:"recipients_per_hour"`

	// RecipientsPerDay is to how many different addresses in a day.
	RecipientsPerDay int `toml:"recipients_per_day"`

	// SuddenRecipients is to how many different addresses in a day an account may
	// send without having done so before. One that exceeds this and ten times of
	// what it used to is paused, and its owner told.
	SuddenRecipients int `toml:"sudden_recipients"`
}

// Mailbox is how accounts keep their mail.
type Mailbox struct {
	// Quota is how much mail an account may keep unless its own quota says
	// otherwise. "0" for no limit.
	Quota Size `toml:"quota"`

	// Undelete is for how long deleted messages can be brought back.
	Undelete Duration `toml:"undelete"`

	// Recoverable is how much deleted mail an account keeps to be brought back;
	// beyond it the oldest goes before its time. It does not count towards the
	// quota. "0" for as much as the quota, but at least 1GiB.
	Recoverable Size `toml:"recoverable"`
}

// Filters are programs that are asked about mail before it is taken. See the
// page on filters.
type Filters struct {
	// MX are milters that are asked about mail from other servers, in this
	// order.
	MX []Milter `toml:"mx"`

	// Submission are milters that are asked about mail from your users, in this
	// order, such as OpenDKIM.
	Submission []Milter `toml:"submission"`

	ClamAV ClamAV `toml:"clamav"`
	Rspamd Rspamd `toml:"rspamd"`
}

// Milter is a program that speaks Sendmail's milter protocol.
type Milter struct {
	// At is where it listens: "inet:127.0.0.1:8891" or
	// "unix:/run/opendkim/opendkim.sock".
	At string `toml:"at"`

	// WhenDown is what happens to mail while it does not answer: "tempfail"
	// (the sender has to try again; so it is if nothing is given), "accept" (as
	// if there were no such milter), "reject" or "quarantine" (taken, and filed
	// in Junk).
	WhenDown string `toml:"when_down"`

	// ConnectTimeout is how long to wait for a connection, 30s if it is not
	// given.
	ConnectTimeout Duration `toml:"connect_timeout"`

	// CommandTimeout is how long to wait for an answer to a command, 30s if it
	// is not given.
	CommandTimeout Duration `toml:"command_timeout"`

	// ContentTimeout is how long to wait for an answer to a part of the message
	// or its end, 5m if it is not given.
	ContentTimeout Duration `toml:"content_timeout"`
}

// ClamAV is a virus scanner: clamd. What it finds is refused.
type ClamAV struct {
	// At is where clamd listens: "unix:/run/clamav/clamd.ctl" or
	// "inet:127.0.0.1:3310". Empty for none.
	At string `toml:"at"`

	// Outgoing has mail of your own users scanned as well.
	Outgoing bool `toml:"outgoing"`

	// Timeout is how long one message may take.
	Timeout Duration `toml:"timeout"`

	// WhenDown is what happens to mail while clamd does not answer: "tempfail",
	// "accept", "reject" or "quarantine".
	WhenDown string `toml:"when_down"`

	// TooLarge is what happens to mail that is larger than clamd takes (its
	// StreamMaxLength), in the same words.
	TooLarge string `toml:"too_large"`
}

// Rspamd is a spam filter, spoken to by its own protocol over HTTP.
type Rspamd struct {
	// At is where Rspamd's normal worker listens: "http://127.0.0.1:11333" or
	// "unix:/run/rspamd/worker.sock". Empty for none.
	At string `toml:"at"`

	// Outgoing has mail of your own users checked as well. What would go to Junk
	// is refused to them.
	Outgoing bool `toml:"outgoing"`

	// Timeout is how long one message may take.
	Timeout Duration `toml:"timeout"`

	// WhenDown is what happens to mail while Rspamd does not answer: "tempfail",
	// "accept", "reject" or "quarantine".
	WhenDown string `toml:"when_down"`
}

// Envelope is how the senders in envelopes are rewritten on the way out; what
// people see in the header stays as it is.
type Envelope struct {
	// SRS rewrites the senders of messages that your aliases forward to other
	// servers, so that these do not take them for forged (SPF). Bounces find
	// their way back for three weeks.
	SRS bool `toml:"srs"`

	// TagSenders are domains of yours whose senders get a tag (BATV), so that
	// bounces of mail that others have sent in their names can be refused. They
	// are, a week later. Some mailing lists know subscribers by the untagged
	// address, and nothing may send in the domain's name but this server.
	TagSenders []string `toml:"tag_senders"`

	// VERP are domains of yours from which each recipient elsewhere gets a copy
	// with a sender of its own: what news@lists.example.org sends to
	// ann@example.net comes from news+ann=example.net@lists.example.org. Bounces
	// then tell who cannot be reached. It is for mailing lists and newsletters
	// whose programs do not do so themselves. A program may also ask for it
	// message by message (the parameter XVERP).
	VERP []string `toml:"verp"`
}

// DKIM is how mail from your domains is signed, so that others can tell that it
// is yours. Keys are made by themselves; a key signs once its record is seen in
// the DNS. "waxwing key list" shows what is to be published.
type DKIM struct {
	// Rotate is how long a key signs before its successor is made, whose record
	// is then to be published. The old one goes on until that is seen.
	Rotate Duration `toml:"rotate"`

	// Overlap is how long the record of a key stays published after its last
	// signature: longer than mail may be held back and on its way.
	Overlap Duration `toml:"overlap"`

	// Off are domains of yours whose mail is not signed here, because something
	// else that it passes does so.
	Off []string `toml:"off"`
}

// MTASTS is the policy by which other servers deliver to your domains encrypted,
// or not at all (MTA-STS). They fetch it over HTTPS from mta-sts.DOMAIN, which
// must lead here; "waxwing dns" prints what is to be published.
type MTASTS struct {
	// Mode is "testing" (others deliver whatever goes wrong, and report it),
	// "enforce" (they do not deliver then), "none" (to take a policy back) or
	// "off" (nothing is served). Begin with "testing". Empty is "testing", and
	// "off" where certificates are signed by an authority of your own.
	Mode string `toml:"mode"`

	// MaxAge is for how long others keep the policy: a promise that cannot be
	// taken back sooner. At least a week makes it useful.
	MaxAge Duration `toml:"max_age"`

	// MX are the servers besides this one that take mail for your domains, such
	// as "backup.example.net" or "*.example.net".
	MX []string `toml:"mx"`

	// Domains say otherwise for single domains.
	Domains []MTASTSDomain `toml:"domains"`
}

// MTASTSDomain is a domain of yours with a policy of its own.
type MTASTSDomain struct {
	// Domain is one of your domains.
	Domain string `toml:"domain"`

	// Mode is "testing", "enforce", "none" or "off".
	Mode string `toml:"mode"`
}

// Reports are what other domains ask you to tell about mail in their name, and
// what others tell you about mail in yours. docs/reports.md says more.
type Reports struct {
	// Send tells domains that ask for it, once a day, which mail came in their
	// name and how much of it was proven to be theirs (DMARC), and how sending to
	// them encrypted went (TLS). No address of a person is in it.
	Send bool `toml:"send"`

	// From is the author of reports, an address in a domain of yours. Without it
	// that is postmaster in one of your domains.
	From string `toml:"from"`

	// Organization is how reports call you; without it, the domain of From.
	Organization string `toml:"organization"`

	// Spread is over how long after midnight UTC reports are sent.
	Spread Duration `toml:"spread"`

	// Failures tells domains that ask for it about single messages that were not
	// proven to be theirs, with what is left of their headers once addresses of
	// your users are taken out. Most servers do not; think of your users before
	// you do.
	Failures bool `toml:"failures"`

	// FailuresPerDay is how many of those one domain gets at most.
	FailuresPerDay int `toml:"failures_per_day"`

	// Addresses are local parts, in each of your domains, to which others may
	// report: mail there is read by the server, for "waxwing report". They need no
	// account or alias; where there is one, it gets the mail too.
	Addresses []string `toml:"addresses"`

	// Keep is for how long reports of others are kept.
	Keep Duration `toml:"keep"`

	// Size is how much room they may take; beyond it no more are kept.
	Size Size `toml:"size"`
}

// Trace is what is remembered of messages and of refusals, for "waxwing trace".
type Trace struct {
	// Keep is for how long.
	Keep Duration `toml:"keep"`

	// Size is how much room it may take; beyond it the oldest goes first. A
	// quarter of it is for what other servers were refused, which never pushes
	// out what became of mail.
	Size Size `toml:"size"`
}

// Proxy is who may speak for clients: machines of yours that stand in front of
// this server. Each is an address or a network such as "10.0.0.0/8".
type Proxy struct {
	// Trusted are load balancers, such as HAProxy, that begin each connection
	// with a PROXY header (version 1 or 2). Every connection from there must have
	// one, on every port.
	Trusted []string `toml:"trusted"`

	// XCLIENT are mail proxies, such as nginx or a Postfix, that may use the
	// SMTP command XCLIENT. Whoever can connect from there can pretend to be any
	// client.
	XCLIENT []string `toml:"xclient"`
}

// DNS is how names are looked up. docs/dns.md says more.
type DNS struct {
	// Mode is who finds answers out. "recursive": this server by itself, from the
	// root of the DNS down, which needs no other server; it proves answers by
	// DNSSEC. "forward": the server named under resolver, or those in
	// /etc/resolv.conf; their answers are proved all the same, for which they
	// must pass signatures on. "stub": the same servers, and they are believed;
	// nothing is ever proved then, and DANE is not used. Empty is "forward" if
	// there is a resolver, and "recursive" if not.
	Mode string `toml:"mode"`

	// Resolver is the DNS server to ask, such as "127.0.0.1:53", in the modes
	// "forward" and "stub". Empty there for those in /etc/resolv.conf. One on this
	// machine is best: many block lists refuse to answer public ones.
	Resolver string `toml:"resolver"`

	// TrustAnchors is a file with the keys that all proofs begin with, as DS or
	// DNSKEY records in zone-file form. Empty for those of the root of the
	// internet, which are built in and follow its changes by themselves.
	TrustAnchors string `toml:"trust_anchors"`

	// Stale has answers used that expired up to so long ago while the servers of
	// their domain do not answer. "0s" is never.
	Stale Duration `toml:"stale"`

	// Cache is how much memory may be used to remember answers.
	Cache Size `toml:"cache"`

	// MixedCase writes names with letters of random case and wants them back the
	// same, which makes answers harder to forge. A few servers cannot do it.
	MixedCase bool `toml:"mixed_case"`
}

// Log is what the server writes to standard error.
type Log struct {
	// Level is the least important message to write: "debug", "info", "warn" or
	// "error".
	Level string `toml:"level"`

	// Format is "text" or "json".
	Format string `toml:"format"`
}
