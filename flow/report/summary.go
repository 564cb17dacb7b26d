package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/format/aggregate"
	"waxwing/store/reports"
)

// A Summary says what others have reported about mail in the name of a domain.
type Summary struct {
	Domain    string
	From, To  time.Time // what the reports are about
	Reports   int
	Policy    aggregate.Policy // the last that was seen
	Total     Counts
	Reporters []Reporter // those that have seen most first
	Sources   []Host     // those that have sent most first
	More      int        // further sources, too many to be listed
	Advice    []string   // what to do, in words; none if all is well
}

// Counts are numbers of messages.
type Counts struct {
	Messages    uint64
	Passed      uint64 // proven by DKIM or SPF
	DKIM, SPF   uint64 // proven by that
	Quarantined uint64
	Rejected    uint64
}

func (c *Counts) add(r aggregate.Record) {
	c.Messages += r.Count
	if r.Pass() {
		c.Passed += r.Count
	}
	if r.DKIM {
		c.DKIM += r.Count
	}
	if r.SPF {
		c.SPF += r.Count
	}
	switch r.Disposition {
	case aggregate.Quarantine:
		c.Quarantined += r.Count
	case aggregate.Reject:
		c.Rejected += r.Count
	}
}

// A Reporter is who has sent reports.
type Reporter struct {
	Org      string
	Proven   string // the domain that was proven to have sent the last one
	Reports  int
	Messages uint64
}

// A Host is an address that mail came from.
type Host struct {
	Address netip.Addr
	Ours    bool // it is this server's
	Counts
	From    []string // domains in From
	Signers []string // domains whose signatures were good
	Senders []string // domains of MAIL FROM that SPF was good for
	Broken  []string // signatures in the domain's name that were not good, as selector and domain
	Lists   bool     // a receiver has taken it for a mailing list
	What    string   // in words: what that is, and what to do
}

// Limits of a summary.
const (
	maxSources = 50
	maxNames   = 8
	// maxGrouped bounds the sources that are told apart.
	maxGrouped = 100_000
)

// Summarise adds up the reports about a domain, or for each of all domains if
// it is "", that end after a time. Ours tells whether an address is this
// server's.
func Summarise(ctx context.Context, s *reports.Store, domain string, since time.Time, ours func(netip.Addr) bool) ([]Summary, error) {
	all := map[string]*summing{}
	err := s.Kept(ctx, reports.DMARC, domain, since, func(kept reports.Report) error {
		var r aggregate.Report
		if err := unpackKept(kept.Data, &r); err != nil {
			return err
		}
		one := all[kept.Domain]
		if one == nil {
			one = &summing{Summary: Summary{Domain: kept.Domain, From: kept.From}, reporters: map[string]*Reporter{}, sources: map[netip.Addr]*Host{}}
			all[kept.Domain] = one
		}
		one.add(kept, &r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var list []Summary
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name].end(ours))
	}
	return list, nil
}

// A summing is a Summary that grows.
type summing struct {
	Summary
	reporters map[string]*Reporter
	sources   map[netip.Addr]*Host
	unlisted  int
}

func (s *summing) add(kept reports.Report, r *aggregate.Report) {
	s.Reports++
	if kept.From.Before(s.From) {
		s.From = kept.From
	}
	if kept.To.After(s.To) {
		s.To, s.Policy = kept.To, r.Policy
	}
	reporter := s.reporters[kept.Org]
	if reporter == nil {
		reporter = &Reporter{Org: kept.Org}
		s.reporters[kept.Org] = reporter
	}
	reporter.Reports++
	reporter.Proven = cmp.Or(kept.Proven, reporter.Proven)
	for _, record := range r.Records {
		reporter.Messages += record.Count
		s.Total.add(record)
		source := s.sources[record.Source]
		if source == nil {
			if len(s.sources) >= maxGrouped {
				s.unlisted++
				continue
			}
			source = &Host{Address: record.Source}
			s.sources[record.Source] = source
		}
		source.add(s.Domain, record)
	}
}

func (s *Host) add(domain string, r aggregate.Record) {
	s.Counts.add(r)
	s.From = name(s.From, r.HeaderFrom)
	for _, d := range r.AuthDKIM {
		switch {
		case d.Result == "pass":
			s.Signers = name(s.Signers, d.Domain)
		case related(d.Domain, domain) && d.Result != "none" && d.Result != "temperror":
			s.Broken = name(s.Broken, d.Selector+" of "+d.Domain)
		}
	}
	for _, a := range r.AuthSPF {
		if a.Result == "pass" && a.Scope != "helo" {
			s.Senders = name(s.Senders, a.Domain)
		}
	}
	for _, reason := range r.Reasons {
		s.Lists = s.Lists || reason.Type == aggregate.MailingList || reason.Type == aggregate.TrustedForwarder || reason.Type == "forwarded" ||
			strings.HasPrefix(reason.Comment, "arc=pass")
	}
}

// name adds a name to some, unless it is there or they are too many.
func name(names []string, n string) []string {
	if n == "" || len(names) >= maxNames || slices.Contains(names, n) {
		return names
	}
	return append(names, n)
}

// end gives the whole, in order, with words.
func (s *summing) end(ours func(netip.Addr) bool) Summary {
	for _, r := range s.reporters {
		s.Reporters = append(s.Reporters, *r)
	}
	slices.SortFunc(s.Reporters, func(a, b Reporter) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Org, b.Org))
	})
	for _, source := range s.sources {
		source.Ours = ours(source.Address)
		source.What = source.words(s.Domain)
		s.Sources = append(s.Sources, *source)
	}
	slices.SortFunc(s.Sources, func(a, b Host) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), a.Address.Compare(b.Address))
	})
	s.Advice = s.advice()
	if len(s.Sources) > maxSources {
		s.More, s.Sources = len(s.Sources)-maxSources+s.unlisted, s.Sources[:maxSources]
	}
	return s.Summary
}

// words says what a source is, and what to do.
func (s *Host) words(domain string) string {
	foreign := slices.DeleteFunc(slices.Concat(s.Signers, s.Senders), func(d string) bool { return related(d, domain) })
	slices.Sort(foreign)
	foreign = slices.Compact(foreign)
	switch {
	case s.Ours && s.Passed == s.Messages:
		return "this server; all is well"
	case s.Ours && s.DKIM < s.Messages && len(s.Broken) > 0:
		return "this server; its signatures are not good: see \"waxwing dns " + domain + " --check\""
	case s.Ours:
		return "this server; not all of its mail is proven: see \"waxwing dns " + domain + " --check\""
	case s.Passed == s.Messages && s.DKIM == s.Messages:
		return "proven to be yours by its signatures"
	case s.Passed == s.Messages && s.DKIM == 0:
		return "proven to be yours by SPF alone, which does not survive forwarding: let it sign its mail too"
	case s.Passed == s.Messages:
		return "proven to be yours"
	case s.Passed*10 >= s.Messages*9:
		return "mostly proven to be yours; the rest was probably changed on its way"
	case s.Lists:
		return "forwards mail, or is a mailing list: nothing to do"
	case len(s.Broken) > 0 && s.Passed == 0:
		return "carries signatures of yours that are not good (" + strings.Join(s.Broken, ", ") + "): a list or forwarder that changes mail, or a sender whose key you have not published"
	case len(s.Broken) > 0:
		return "partly proven; some mail is changed on its way, as lists do"
	case len(foreign) > 0 && s.Passed == 0:
		return "sends in your name, proven only to be " + strings.Join(foreign, " and ") + ": if you let it, have it sign as " + domain +
			"; if not, your policy keeps its mail out"
	case s.Passed == 0:
		return "nothing proves that this is you: if you know the address, add it to SPF and let it sign; if not, it forges your name"
	}
	return "partly proven: something there sends without signing"
}

// Shares of messages from which on they count for an advice.
const (
	fewProven = 0.98 // below it, a stricter policy would hit mail that may be real
	enough    = 20   // messages
)

// advice says what to do about the domain as a whole.
func (s *Summary) advice() []string {
	var all []string
	var unproven []string
	var forged, trouble uint64
	for _, source := range s.Sources {
		if left := source.Messages - source.Passed; left > 0 {
			switch {
			case source.Ours:
				trouble += left
			case source.Lists:
			case source.Passed == 0 && len(source.Signers) == 0 && len(source.Senders) == 0 && len(source.Broken) == 0:
				forged += left
			case len(unproven) < maxNames:
				unproven = append(unproven, source.Address.String())
			}
		}
	}
	if trouble > 0 {
		all = append(all, fmt.Sprintf("%d messages of this server were not proven to be %s's: see \"waxwing dns %s --check\".", trouble, s.Domain, s.Domain))
	}
	if len(unproven) > 0 {
		all = append(all, "Find out who these are, and have those that are yours sign as "+s.Domain+": "+strings.Join(unproven, ", ")+".")
	}
	real := s.Total.Messages - min(forged, s.Total.Messages)
	switch p := cmp.Or(s.Policy.P, "none"); {
	case s.Total.Messages < enough:
		all = append(all, "There are too few messages yet to say more.")
	case p == "none" && float64(s.Total.Passed) >= fewProven*float64(real):
		all = append(all, "Nearly all mail that seems to be yours is proven: the policy can become p=quarantine, and later p=reject.")
	case p == "none":
		all = append(all, "Keep p=none until the addresses above are settled: a stricter policy would hit mail that may be yours.")
	case p == "quarantine" && trouble == 0 && float64(s.Total.Passed) >= fewProven*float64(real):
		all = append(all, "The policy can become p=reject: what is yours is proven.")
	}
	if forged > 0 && s.Policy.P != "reject" && s.Total.Messages >= enough {
		all = append(all, fmt.Sprintf("%d messages had nothing of yours about them but the name; p=reject would have others refuse such mail.", forged))
	}
	return all
}
