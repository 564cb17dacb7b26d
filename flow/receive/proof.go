package receive

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/trace"
	"waxwing/trust/arc"
	"waxwing/trust/bimi"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/verify"
)

// prove begins to verify the message of a transaction.
func (v *Visit) prove(from mail.Address) {
	v.abandon()
	if !v.verifies {
		return
	}
	sender := ""
	if !from.IsNull() {
		sender = from.String()
	}
	v.proof = v.r.verifier.Begin(v.ctx, time.Now(), verify.Origin{IP: v.remote.Unmap().WithZone(""), Helo: v.hello, Sender: sender})
}

// abandon ends what is being verified and is not wanted any more.
func (v *Visit) abandon() {
	if v.proof != nil {
		v.proof.Abandon()
		v.proof = nil
	}
}

// denied tells whether the sender's domain forbids the host to send, where that
// makes a difference and is known in time.
func (v *Visit) denied(ctx context.Context, t policy.Transaction) bool {
	if v.proof == nil || !v.r.o.Rules.AsksSender(v.host, t) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	verdict, ok := v.proof.SPF(ctx)
	return ok && verdict.Result == spf.Fail
}

// named tells the proof the host's name, which is known by now if ever.
func (v *Visit) named() {
	if v.proof == nil {
		return
	}
	switch n := v.host.Name; n.State { // RFC 8601 §2.7.3
	case policy.NameConfirmed:
		v.proof.Named(n.Name, "pass")
	case policy.NameMismatch:
		v.proof.Named(n.Name, "fail")
	case policy.NameMissing:
		v.proof.Named("", "permerror")
	case policy.NameNotKnown:
		if v.name != nil {
			v.proof.Named("", "temperror")
		}
	}
}

// take takes a message in, verifies what came, and lets pass what is not forged
// in our name.
func (r *Receiver) take(ctx context.Context, now time.Time, in *inspection, recipients []deliver.Recipient, body io.Reader) (*deliver.Arrival, error) {
	if in.checks != nil { // filters may add others
		recipients = nil
	}
	return deliver.StageFor(ctx, r.blobs, now, recipients, func(w io.Writer) error {
		if !in.scrub {
			_, err := io.Copy(w, body)
			return err
		}
		s := &scrubber{to: w, server: r.o.Hostname}
		var to io.Writer = s
		if in.proof != nil {
			to = io.MultiWriter(in.proof, s) // what is signed is what came
		}
		_, err := io.Copy(to, body)
		if err == nil {
			err = s.end()
		}
		in.gone = s.gone
		return err
	})
}

// forPostmaster tells whether all recipients are postmasters.
func forPostmaster(to []deliver.Recipient) bool {
	return !slices.ContainsFunc(to, func(r deliver.Recipient) bool { return !strings.EqualFold(r.Address.Local, "postmaster") })
}

// logProven logs what was found out.
func (r *Receiver) logProven(id string, f verify.Findings, v policy.Verdict) {
	if !r.o.Log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	r.o.Log.LogAttrs(context.Background(), slog.LevelInfo, "message verified", slog.String(obs.Msg, id),
		slog.String("spf", string(f.SPF.Result)), slog.String("dkim", dkimStatus(f)), slog.String("arc", string(f.ARC.Status)),
		slog.String("dmarc", string(f.DMARC.Result)), slog.String("author", f.DMARC.Author), slog.String(obs.Verdict, v.Reason))
}

// dkimStatus gives the best that is proven by a signature.
func dkimStatus(f verify.Findings) string {
	status := "none"
	for i, s := range f.DKIM {
		if i == 0 || s.Status == dkim.Pass {
			status = string(s.Status)
		}
	}
	return status
}

// proven says in words what was found out of a message.
func proven(f verify.Findings, gone int) []trace.Fact {
	facts := make([]trace.Fact, 0, 8)
	if gone > 0 {
		facts = append(facts, trace.Fact{Name: "forged-results", Value: strconv.Itoa(gone) + " taken out"})
	}
	if f.Origin.NameStatus != "" {
		facts = append(facts, trace.Fact{Name: "iprev", Value: f.Origin.NameStatus})
	}
	facts = append(facts, trace.Fact{Name: "spf", Value: spfWords(f.SPF)}, trace.Fact{Name: "dkim", Value: dkimWords(f)})
	if f.ARC.Status != arc.None {
		facts = append(facts, trace.Fact{Name: "arc", Value: arcWords(f)})
	}
	if f.List != "" {
		facts = append(facts, trace.Fact{Name: "list", Value: f.List})
	}
	facts = append(facts, trace.Fact{Name: "dmarc", Value: dmarcWords(f)})
	if f.BIMI.Result != "" {
		facts = append(facts, trace.Fact{Name: "bimi", Value: bimiWords(f.BIMI)})
	}
	return facts
}

func bimiWords(v bimi.Verdict) string {
	words := string(v.Result)
	if v.Domain != "" {
		words += " for " + v.Domain + " (" + v.Selector + ")"
	}
	if v.Problem != "" {
		words += ": " + v.Problem
	}
	if v.Record.Location != "" {
		words += ", " + v.Record.Location
	}
	return words
}

func spfWords(v spf.Verdict) string {
	words := string(v.Result)
	if v.Domain != "" {
		words += " for " + v.Domain
	}
	if v.Term != "" {
		words += " by " + v.Term
	}
	if v.Problem != "" {
		words += ": " + v.Problem
	}
	return words
}

func dkimWords(f verify.Findings) string {
	if len(f.DKIM) == 0 {
		return "no signature"
	}
	var all []string
	for _, s := range f.DKIM {
		words := string(s.Status) + " for " + s.Domain + " (" + s.Selector + ", " + s.Algorithm + ")"
		if s.Reason != "" {
			words += ": " + s.Reason
		}
		all = append(all, words)
	}
	return strings.Join(all, "; ")
}

func arcWords(f verify.Findings) string {
	words := string(f.ARC.Status)
	if f.ARC.Reason != "" {
		words += ": " + f.ARC.Reason
	}
	n := len(f.ARC.Links)
	if n == 0 {
		return words
	}
	words += fmt.Sprintf(", %d sets, the last by %s", n, f.ARC.Links[n-1].Domain)
	if f.ARC.Status == arc.Pass && f.DMARC.Result == dmarc.Fail && f.Sealer == "" {
		words += ", which is not believed or has not seen DMARC pass"
	}
	return words
}

func dmarcWords(f verify.Findings) string {
	d := f.DMARC
	words := string(d.Result)
	if d.Author != "" {
		words += " for " + d.Author
	}
	switch {
	case d.Problem != "":
		words += ": " + d.Problem
	case d.Result == dmarc.NoRecord:
		words += ", which publishes no policy"
	case d.Result == dmarc.Pass && d.SPF && d.DKIM:
		words += " by SPF and DKIM"
	case d.Result == dmarc.Pass && d.SPF:
		words += " by SPF"
	case d.Result == dmarc.Pass:
		words += " by DKIM"
	case d.Result == dmarc.Fail:
		words += ": neither SPF nor DKIM proves a domain of the author's"
	}
	if d.Domain != "" {
		words += "; " + d.Domain + " wants p=" + string(d.Wanted)
	}
	return words
}
