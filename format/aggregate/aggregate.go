// Package aggregate writes and reads DMARC aggregate reports: what a receiver
// of mail has seen in a day in the name of a domain, from which addresses, and
// how much of it was proven to be the domain's. RFC 9990 (whose last draft is
// draft-ietf-dmarc-aggregate-reporting), RFC 7489 §7.2 and appendix C
//
//	aggregate.go  the report, and its names on the way
//	write.go      as XML
//	read.go       from the XML of others, who get much of it wrong
//
// What is written is what RFC 9990 wants; what is read is whatever came of it
// and of what was before it.
package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Report is what one receiver has seen of one domain.
type Report struct {
	Org       string // who reports
	Email     string // whom to ask about it
	Contact   string // more about that; may be empty
	ID        string // unique among the reports of Org about the domain
	Begin     time.Time
	End       time.Time // as it stands there: the last second
	Errors    []string  // in what the domain publishes
	Generator string
	Policy    Policy
	Records   []Record

	// Cut says, of what was read, that not all of it could be.
	Cut bool
}

// A Policy is what the domain had published. Values are as they stand in the
// record, "" where nothing is said.
type Policy struct {
	Domain    string // where the record is
	Discovery string // "treewalk" or "psl"
	P, SP, NP string
	FO        string
	ADKIM     string // "r" or "s"
	ASPF      string
	Testing   string // "y" or "n"
	Percent   string // of RFC 7489
}

// A Record is messages that had the same source and the same results.
type Record struct {
	Source      netip.Addr
	Count       uint64
	Disposition Disposition
	DKIM, SPF   bool // whether they prove the domain in From
	Reasons     []Reason

	HeaderFrom   string
	EnvelopeFrom string
	EnvelopeTo   string

	AuthDKIM []DKIM
	AuthSPF  []SPF
}

// Pass tells whether the messages were proven to be the domain's.
func (r Record) Pass() bool { return r.DKIM || r.SPF }

// A Disposition is what was done with messages.
type Disposition string

// The dispositions. RFC 9990 appendix A
const (
	None       Disposition = "none" // nothing was done
	Pass       Disposition = "pass" // nothing was to be done: they passed a policy that is enforced
	Quarantine Disposition = "quarantine"
	Reject     Disposition = "reject"
)

// A Reason is why something else was done than the domain wants.
// RFC 9990 §3.1.6
type Reason struct {
	Type    string
	Comment string
}

// Types of reasons.
const (
	LocalPolicy      = "local_policy"
	MailingList      = "mailing_list"
	Other            = "other"
	PolicyTestMode   = "policy_test_mode"
	TrustedForwarder = "trusted_forwarder"
)

// A DKIM is what came of a signature.
type DKIM struct {
	Domain, Selector string
	Result           string // RFC 8601 §2.7.1
	Text             string // in words; may be empty
}

// An SPF is what SPF says of the sender.
type SPF struct {
	Domain string
	Scope  string // "mfrom" or "helo"
	Result string // RFC 8601 §2.7.2
	Text   string
}

// Filename gives the name that the report has on its way, in gzip, from a
// receiver. RFC 9990 §3.5.2
func (r *Report) Filename(receiver string) string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", receiver, r.Policy.Domain, r.Begin.Unix(), r.End.Unix(), alphanumeric(r.ID))
}

// Subject gives the subject of the mail that it goes in. RFC 9990 §3.5.2
func (r *Report) Subject(receiver string) string {
	return fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", r.Policy.Domain, receiver, r.ID)
}

// alphanumeric keeps letters and digits.
func alphanumeric(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return -1
	}, s)
}
