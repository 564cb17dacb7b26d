package verify

import (
	"fmt"
	"strconv"
	"strings"

	"waxwing/format/authres"
	"waxwing/trust/arc"
	"waxwing/trust/bimi"
	"waxwing/trust/spf"
)

// Results are the findings in the words of RFC 8601 §2.7.
func (f Findings) Results() []authres.Result {
	out := make([]authres.Result, 0, 8)
	if f.Origin.NameStatus != "" {
		out = append(out, authres.Result{Method: "iprev", Value: f.Origin.NameStatus, Comment: f.Origin.Name,
			Props: []authres.Prop{{Type: "policy", Name: "iprev", Value: f.Origin.IP.Unmap().String()}}})
	}
	for _, r := range f.DKIM {
		one := authres.Result{Method: "dkim", Value: string(r.Status), Reason: r.Reason, Props: []authres.Prop{
			{Type: "header", Name: "d", Value: r.Domain},
			{Type: "header", Name: "i", Value: r.Identity},
			{Type: "header", Name: "s", Value: r.Selector},
			{Type: "header", Name: "a", Value: r.Algorithm},
			{Type: "header", Name: "b", Value: r.Mark}, // RFC 6008
		}}
		if r.KeyBits > 0 {
			one.Comment = strconv.Itoa(r.KeyBits) + "-bit key"
		}
		if r.Testing {
			one.Comment += ", testing"
		}
		out = append(out, one)
	}
	if len(f.DKIM) == 0 {
		out = append(out, authres.Result{Method: "dkim", Value: "none"})
	}
	if f.Origin.Sender != "" {
		out = append(out, authres.Result{Method: "spf", Value: string(f.SPF.Result), Comment: f.SPF.Term, Reason: problem(f.SPF),
			Props: []authres.Prop{{Type: "smtp", Name: "mailfrom", Value: f.Origin.Sender}}})
	}
	out = append(out, authres.Result{Method: "spf", Value: string(f.Helo.Result), Comment: f.Helo.Term, Reason: problem(f.Helo),
		Props: []authres.Prop{{Type: "smtp", Name: "helo", Value: f.Origin.Helo}}})
	if f.ARC.Status != arc.None {
		one := authres.Result{Method: "arc", Value: string(f.ARC.Status), Reason: f.ARC.Reason,
			Props: []authres.Prop{{Type: "smtp", Name: "remote-ip", Value: f.Origin.IP.Unmap().String()}}} // RFC 8617 §6
		if n := len(f.ARC.Links); n > 0 {
			one.Comment = fmt.Sprintf("%d sets, the last by %s", n, f.ARC.Links[n-1].Domain)
		}
		out = append(out, one)
	}
	out = append(out, f.dmarc())
	if f.BIMI.Result != "" {
		out = append(out, f.indicator())
	}
	return out
}

// indicator gives the result of BIMI, in the properties of its draft. The
// evidence is not looked at here, so it proves nothing yet.
func (f Findings) indicator() authres.Result {
	r := authres.Result{Method: "bimi", Value: string(f.BIMI.Result), Reason: f.BIMI.Problem, Props: []authres.Prop{
		{Type: "header", Name: "d", Value: f.BIMI.Domain},
		{Type: "header", Name: "selector", Value: f.BIMI.Selector},
	}}
	if f.BIMI.Result == bimi.Pass {
		r.Props = append(r.Props, authres.Prop{Type: "policy", Name: "authority", Value: "none"},
			authres.Prop{Type: "policy", Name: "authority-uri", Value: f.BIMI.Record.Authority})
	}
	return r
}

// problem is the reason of an SPF result that is an error.
func problem(v spf.Verdict) string {
	if v.Result == spf.TempError || v.Result == spf.PermError {
		return v.Problem
	}
	return ""
}

// dmarc gives the result with the policy that applies. RFC 9989 §9.1
func (f Findings) dmarc() authres.Result {
	r := authres.Result{Method: "dmarc", Value: string(f.DMARC.Result), Reason: f.DMARC.Problem}
	if len(f.Authors) == 1 {
		r.Props = append(r.Props, authres.Prop{Type: "header", Name: "from", Value: f.Authors[0]})
	}
	if f.DMARC.Domain != "" {
		r.Comment = "p=" + string(f.DMARC.Wanted) + " by " + f.DMARC.Domain
		r.Props = append(r.Props, authres.Prop{Type: "policy", Name: "dmarc", Value: string(f.DMARC.Wanted)})
	}
	if f.Sealer != "" {
		r.Reason = "it passed at " + f.Sealer + ", which is believed"
	}
	return r
}

// Header gives the fields to be put before a message: Authentication-Results,
// Received-SPF, and BIMI-Location if there is a picture, with their line ends.
// results are the Results as a server writes them.
func (f Findings) Header(server, results string) []byte {
	q := spf.Query{IP: f.Origin.IP, Helo: f.Origin.Helo, Sender: f.Origin.Sender, Receiver: server}
	received := spf.Received(f.SPF, q)
	const name, room = "Authentication-Results: ", 512 // for what stands below
	b := make([]byte, 0, len(name)+len(results)+len(received)+4+room)
	b = append(append(append(b, name...), results...), "\r\n"...)
	b = append(append(b, received...), "\r\n"...)
	if f.BIMI.Result == bimi.Pass {
		b = append(b, "BIMI-Location: v=BIMI1;\r\n\tl="+f.BIMI.Record.Location...)
		if f.BIMI.Record.Authority != "" {
			b = append(b, ";\r\n\ta="+f.BIMI.Record.Authority...)
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// Claimants are the names of the fields that Forged looks at, in lower case.
var Claimants = []string{"authentication-results", "received-spf"}

// Forged reports whether a field, with its name, claims to be our
// Authentication-Results or Received-SPF: nobody but us may write those, and a
// field of which cannot be read whose it is could be taken for ours. RFC 8601 §5
func Forged(field []byte, server string) bool {
	name, value, ok := strings.Cut(string(field), ":")
	if !ok {
		return false
	}
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case Claimants[0]:
		return authres.Claims(value, server)
	case Claimants[1]:
		return strings.EqualFold(spf.Receiver(value), server)
	}
	return false
}
