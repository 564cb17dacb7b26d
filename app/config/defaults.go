package config

import "time"

// LetsEncrypt is the directory of the authority that is used when no other is
// named.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// The values of TLS.Source.
const (
	SourceACME  = "acme"
	SourceFiles = "files"
	SourceOwnCA = "own-ca"
)

// The values of Door.ReverseName and Door.Hello.
const (
	DoorRefuse = "refuse"
	DoorMark   = "mark"
	DoorIgnore = "ignore"
)

// The values of Door.Greylist.
const (
	GreySuspicious = "suspicious"
	GreyStrangers  = "strangers"
	GreyOff        = "off"
)

// The values of Trust.DMARC and of Trust.Unknown.
const (
	DMARCEnforce = "enforce"
	DMARCJunk    = "junk"
	DMARCOff     = "off"

	UnknownAccept = "accept"
	UnknownDefer  = "defer"
)

// The values of DNS.Mode. ResolveDefault is one of the others, by what else is
// configured.
const (
	ResolveDefault   = ""
	ResolveRecursive = "recursive"
	ResolveForward   = "forward"
	ResolveStub      = "stub"
)

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Data:  "data",
		Store: Store{URL: "pebble:"},
		Blobs: Blobs{URL: "files:", Address: AddressAuto, Compress: true},
		Listen: Listen{
			MX:          []string{":25"},
			Submissions: []string{":465"},
			Submission:  []string{":587"},
			IMAPS:       []string{":993"},
			IMAP:        []string{":143"},
			POP3S:       []string{":995"},
			POP3:        []string{":110"},
			HTTPS:       []string{":443"},
			HTTP:        []string{":80"},
		},
		TLS: TLS{Source: SourceACME, ACME: ACME{Directory: LetsEncrypt}, RotateKey: Duration(365 * 24 * time.Hour)},
		Limits: Limits{
			MessageSize:           50 * megabyte,
			Recipients:            1000,
			Connections:           10_000,
			ConnectionsPerAddress: 200,
			Hold:                  Duration(30 * 24 * time.Hour),
			HeldPerAccount:        500 * megabyte,
		},
		Door: Door{
			Trusted:              []string{"127.0.0.0/8", "::1"},
			ConnectionsPerMinute: 300,
			MessagesPerHour:      10_000,
			RecipientsPerHour:    50_000,
			UnknownRecipients:    10,
			MaxUnknownRecipients: 100,
			GreetingDelay:        Duration(2 * time.Second),
			ReverseName:          DoorMark,
			Hello:                DoorMark,
			Greylist:             GreySuspicious,
			GreylistDelay:        Duration(4 * time.Minute),
			GreylistPasses:       3,
			ListScore:            1,
		},
		Trust: Trust{
			Unverified: []string{"127.0.0.0/8", "::1"},
			DMARC:      DMARCEnforce, SPF: DoorMark, Unknown: UnknownAccept,
		},
		Sending: Sending{MessagesPerHour: 500, RecipientsPerHour: 1000, RecipientsPerDay: 3000, SuddenRecipients: 500},
		Mailbox: Mailbox{Undelete: Duration(30 * 24 * time.Hour)},
		Filters: Filters{
			ClamAV: ClamAV{Outgoing: true, Timeout: Duration(2 * time.Minute), WhenDown: WhenTempFail, TooLarge: WhenAccept},
			Rspamd: Rspamd{Timeout: Duration(time.Minute), WhenDown: WhenAccept},
		},
		Envelope: Envelope{SRS: true},
		DKIM:     DKIM{Rotate: Duration(180 * 24 * time.Hour), Overlap: Duration(40 * 24 * time.Hour)},
		MTASTS:   MTASTS{MaxAge: Duration(14 * 24 * time.Hour)},
		Relay: Relay{
			Retry:    Duration(5 * time.Minute),
			GiveUp:   Duration(5 * 24 * time.Hour), // RFC 5321 §4.5.4.1
			TakeOver: Duration(time.Minute),
			Port:     25,

			DelayWarning:   Duration(4 * time.Hour),
			RetryFactor:    2,
			RetryLongest:   Duration(4 * time.Hour),
			RetryJitter:    0.1,
			GiveUpBounces:  Duration(5 * 24 * time.Hour),
			AtOnce:         400,
			PerDestination: 20,
		},
		Reports: Reports{
			Send: true, Spread: Duration(4 * time.Hour), FailuresPerDay: 10, Addresses: []string{"dmarc-reports", "tls-reports"},
			Keep: Duration(180 * 24 * time.Hour), Size: 512 << 20,
		},
		Trace: Trace{Keep: Duration(14 * 24 * time.Hour), Size: 2 << 30},
		DNS:   DNS{Cache: 32 << 20},
		Log:   Log{Level: "info", Format: "text"},
	}
}
