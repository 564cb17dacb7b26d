package smtpserver

import (
	"fmt"
	"time"

	"waxwing/proto/smtp"
)

// A state is all that the rules of order look at.
type state struct {
	greeted       bool // HELO or EHLO has been accepted
	extended      bool // by EHLO
	tls           bool
	authenticated bool
	mail          bool // a transaction has begun
	utf8          bool // with SMTPUTF8
	binary        bool // with BODY=BINARYMIME
	recipients    int  // accepted ones
	offered       smtp.Extensions
}

// needs says what must hold before a command is carried out.
type needs uint16

const (
	greeted       needs = 1 << iota
	noTransaction       // MAIL is not under way
	transaction         // MAIL is under way
	recipients          // and a recipient has been accepted
	privacy             // TLS, where the server requires it
	login               // a login, where the server requires it
)

// check tells why a command that has these needs must not be carried out now.
// RFC 5321 §4.1.4
func (s state) check(n needs, o *Options) *smtp.Refusal {
	switch {
	case n&privacy != 0 && o.RequireTLS && !s.tls:
		return refuse(530, 5, 7, 0, "Must issue a STARTTLS command first") // RFC 3207 §4
	case n&greeted != 0 && !s.greeted:
		return refuse(503, 5, 5, 1, "Say EHLO or HELO first")
	case n&login != 0 && o.RequireAuth && !s.authenticated:
		return refuse(530, 5, 7, 0, "Authentication required") // RFC 4954 §6
	case n&noTransaction != 0 && s.mail:
		return refuse(503, 5, 5, 1, "A mail transaction is under way")
	case n&(transaction|recipients) != 0 && !s.mail:
		return refuse(503, 5, 5, 1, "MAIL comes first")
	case n&recipients != 0 && s.recipients == 0:
		if o.LMTP {
			return refuse(503, 5, 5, 1, "No valid recipients") // RFC 2033 §4.2
		}
		return refuse(554, 5, 5, 1, "No valid recipients") // RFC 5321 §3.3
	}
	return nil
}

// checkMail applies the rules about the parameters of MAIL.
func (s state) checkMail(m smtp.Mail, o *Options, now time.Time) *smtp.Refusal {
	switch {
	case !s.offered.Has(m.Uses &^ smtp.RequireTLS):
		return refuse(555, 5, 5, 4, "Parameter of an extension that is not offered") // RFC 5321 §4.1.1.11
	case m.RequireTLS && !s.offered.Has(smtp.RequireTLS):
		return refuse(555, 5, 5, 4, "Parameter of an extension that is not offered")
	case m.RequireTLS && !s.tls:
		return refuse(530, 5, 7, 10, "REQUIRETLS needs TLS: STARTTLS comes first") // RFC 8689 §2
	case m.Size > o.MaxSize:
		return tooLarge // RFC 1870 §6.1
	case !m.UTF8 && !m.From.IsASCII():
		return refuse(553, 5, 6, 7, "Address needs SMTPUTF8") // RFC 6531 §3.5
	}
	if m.VERP != "" && m.From.IsNull() {
		return refuse(501, 5, 5, 4, "XVERP needs a sender")
	}
	if r := checkTimes(m, o, now); r != nil {
		return r
	}
	if unwanted := smtp.Solicited(m.Solicit, o.Unsolicited); unwanted != "" {
		return refuse(550, 5, 7, 1, "SOLICIT="+unwanted) // RFC 3865 §2.4
	}
	return nil
}

// checkTimes applies the rules about when a message is to go.
func checkTimes(m smtp.Mail, o *Options, now time.Time) *smtp.Refusal {
	by := m.Uses.Has(smtp.DeliverBy)
	until := m.HoldUntil
	if m.HoldFor > 0 {
		until = now.Add(m.HoldFor)
	}
	switch {
	case by && m.By.Return && time.Duration(m.By.Seconds)*time.Second < o.MinDeliverBy:
		// RFC 2852 §3: 55z; §4: 555 for what is permanent
		return refuse(555, 5, 4, 7, fmt.Sprintf("Delivery cannot be promised within less than %d seconds", int64(o.MinDeliverBy/time.Second)))
	case m.HoldFor > o.MaxHold, until.After(now.Add(o.MaxHold)):
		return refuse(501, 5, 5, 4, "Message cannot be held for so long") // RFC 4865 §4.2 (7), (8), (10)
	case by && !until.IsZero() && until.After(now.Add(time.Duration(m.By.Seconds)*time.Second)):
		return refuse(501, 5, 5, 4, "Message would be held for longer than it may take") // RFC 4865 §5.2.2
	}
	return nil
}

// checkRcpt applies the rules about recipients and their parameters.
func (s state) checkRcpt(r smtp.Rcpt, o *Options) *smtp.Refusal {
	switch {
	case !s.offered.Has(r.Uses):
		return refuse(555, 5, 5, 4, "Parameter of an extension that is not offered") // RFC 5321 §4.1.1.11
	case s.recipients >= o.MaxRecipients:
		return refuse(452, 4, 5, 3, "Too many recipients") // RFC 5321 §4.5.3.1.10
	case !s.utf8 && !r.To.IsASCII():
		return refuse(553, 5, 6, 7, "Address needs SMTPUTF8") // RFC 6531 §3.5
	}
	return nil
}

// tooLarge is said to SIZE and to a message that breaks its promise.
// RFC 1870 §6.1, §6.3
var tooLarge = refuse(552, 5, 3, 4, "Message is larger than this server accepts")

func refuse(code int, class, subject, detail uint16, text string) *smtp.Refusal {
	return &smtp.Refusal{Code: code, Enhanced: smtp.Enhanced{class, subject, detail}, Text: text}
}

func ok(code int, subject, detail uint16, text string) smtp.Reply {
	return smtp.Reply{Code: code, Enhanced: smtp.Enhanced{2, subject, detail}, Text: text}
}
