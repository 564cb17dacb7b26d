package spam

import (
	"context"
	"log/slog"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
)

// WhenDown is what happens to mail while a filter cannot be asked.
type WhenDown string

// The values of WhenDown; the zero value is TempFail, as it is Postfix's.
const (
	TempFail   WhenDown = "tempfail"   // 451: the sender comes again
	Pass       WhenDown = "accept"     // as if there were no such filter
	Refuse     WhenDown = "reject"     // 550
	Quarantine WhenDown = "quarantine" // taken, and filed in Junk
)

// Options say who is asked, and what for.
type Options struct {
	// Hostname is what we call ourselves, Version our program's.
	Hostname, Version string
	// Milters are asked in their order, each with what those before it have
	// changed.
	Milters []Milter
	// ClamAV and Rspamd are asked behind the milters; nil for not at all.
	ClamAV *ClamAV
	Rspamd *Rspamd
	// Outgoing says that the mail is our own users'.
	Outgoing bool
	// Resolve finds the way of recipients that filters add.
	Resolve func(context.Context, mail.Recipient) (deliver.Recipient, error)
	Blobs   blob.Store
	// MaxMessage is how large a message may become; 0 for 100 MiB.
	MaxMessage mail.ByteCount
	Log        *slog.Logger
}

// A Milter is one filter that speaks the milter protocol.
type Milter struct {
	// Network and Address are where it listens: "tcp" or "unix".
	Network, Address string
	// The time for connecting, for an answer to a command and for one about
	// the message; 0 for the 30 s, 30 s and 300 s of Postfix.
	ConnectTimeout, CommandTimeout, ContentTimeout time.Duration
	WhenDown                                       WhenDown
}

// Filters are those who are asked about the mail of some doors. They are safe
// for concurrent use.
type Filters struct{ o Options }

// New makes Filters; nil if there is nobody to be asked.
func New(o Options) *Filters {
	if len(o.Milters) == 0 && o.ClamAV == nil && o.Rspamd == nil {
		return nil
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 100 << 20
	}
	return &Filters{o}
}

// refusal says that a filter cannot be asked; nil where that does not matter.
func (w WhenDown) refusal(err error) *smtp.Refusal {
	switch w {
	case Pass, Quarantine:
		return nil
	case Refuse:
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "the message cannot be checked here", Err: err}
	}
	return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}, Text: "the message cannot be checked just now, try later", Err: err}
}
