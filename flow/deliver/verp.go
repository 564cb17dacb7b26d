package deliver

import (
	"slices"
	"strings"

	"waxwing/mail"
	"waxwing/store/outqueue"
)

// verpUsual are the delimiters of a variable envelope return path where nobody
// says others: owner+user=domain@ours, as Postfix and others write it (there is
// no RFC; D. J. Bernstein, "Variable Envelope Return Paths", 1997).
const verpUsual = "+="

// verpFor gives the delimiters for a message: those that its sender asked for,
// or the usual ones where the sender's domain has them always. Empty leaves the
// sender as it is. What comes from the queue has them already.
func (d *Deliverer) verpFor(a *Arrival, env mail.Envelope) string {
	switch {
	case a.Token != "" || a.Origin.Service != "submission" || env.From.IsNull():
		return ""
	case env.VERP != "":
		return env.VERP
	case slices.ContainsFunc(d.verp, func(domain string) bool { return strings.EqualFold(domain, env.From.Domain) }):
		return verpUsual
	}
	return ""
}

// verp gives the sender from whose address a bounce can tell the recipient. One
// that would be too long stays as it is: its bounces are read as before.
func verp(from, to mail.Address, delimiters string) mail.Address {
	named := from
	named.Local += delimiters[:1] + to.Local + delimiters[1:] + to.Domain
	if a, err := mail.ParseAddress(named.String()); err == nil {
		return a
	}
	return from
}

// apart makes of a submission one for each recipient, each with its own
// sender, where there are delimiters.
func apart(s outqueue.Submission, delimiters string) []outqueue.Submission {
	if delimiters == "" {
		return []outqueue.Submission{s}
	}
	all := make([]outqueue.Submission, len(s.Envelope.To))
	for i, to := range s.Envelope.To {
		all[i] = s
		all[i].Envelope.From = verp(s.Envelope.From, to.Address, delimiters)
		all[i].Envelope.To = []mail.Recipient{to}
	}
	return all
}
