// Package verify finds out all that can be proven of a message as it comes in:
// the host's name (iprev), SPF, DKIM, ARC and DMARC, in one pass over its
// octets, and writes it down as Authentication-Results.
//
// It says what is so. What is done about it is for others to say.
package verify

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"waxwing/dns"
	"waxwing/format/authres"
	"waxwing/format/message"
	"waxwing/trust/arc"
	"waxwing/trust/bimi"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
)

// Options say how messages are verified. The zero value believes no sealer.
type Options struct {
	// Server is our name in Authentication-Results: the authserv-id.
	Server string
	// Sealers are domains whose ARC sets are believed: what they say of DMARC
	// holds where it no longer does here, because they have changed the
	// message, such as mailing lists do.
	Sealers []string
	// Indicators says that what domains want shown beside their mail is looked
	// up (BIMI).
	Indicators bool
}

// An Origin is where a message comes from.
type Origin struct {
	IP     netip.Addr
	Helo   string
	Sender string // of MAIL FROM, "" for the null sender
	// Name is the host's name in the DNS, if it leads back to the address.
	Name string
	// NameStatus is the result of iprev, "" if that was not looked at.
	// RFC 8601 §2.7.3
	NameStatus string
}

// A Verifier verifies messages. It remembers how the records that it has met
// are read, a bounded number. Make one with New; safe for concurrent use.
type Verifier struct {
	resolver dns.Resolver
	o        Options
	keys     *dkim.Keys
	policies *spf.Policies
	records  *dmarc.Records
}

// New makes a Verifier.
func New(r dns.Resolver, o Options) *Verifier {
	return &Verifier{resolver: r, o: o, keys: dkim.NewKeys(), policies: spf.NewPolicies(), records: dmarc.NewRecords()}
}

// A Message verifies one message, which is written to it. Finish or Abandon is
// called in the end.
type Message struct {
	v      *Verifier
	origin Origin

	text       dkim.Text
	signatures dkim.Verifier
	chain      arc.Validator

	ctx       context.Context    // of what is being looked up, with its end
	stop      context.CancelFunc // nil if nothing is
	looking   sync.WaitGroup
	helo, spf *asked // spf is helo for the null sender. RFC 7208 §2.4
}

// An asked policy is being looked up.
type asked struct {
	done    chan struct{} // nil if it was known at once
	verdict spf.Verdict   // once done is closed
}

// How long the DNS may take for SPF, from the beginning, which RFC 7208 §4.6.4
// wants to be 20 seconds at least, and for the rest once the message is there.
const (
	senderPatience = 20 * time.Second
	finishPatience = 10 * time.Second
)

// Begin begins to verify a message: the sender's policy is looked up while the
// message comes in. The context bounds that.
func (v *Verifier) Begin(ctx context.Context, now time.Time, origin Origin) *Message {
	m := &Message{v: v, origin: origin}
	m.signatures.Keys, m.chain.Keys = v.keys, v.keys
	m.text.Begin = func(t *dkim.Text) {
		m.signatures.Begin(t)
		m.chain.Begin(t)
	}
	q := spf.Query{IP: origin.IP, Helo: origin.Helo, Receiver: v.o.Server, Now: now}
	m.helo = m.ask(ctx, q) // RFC 7208 §2.3
	m.spf = m.helo
	if origin.Sender != "" {
		q.Sender = origin.Sender
		m.spf = m.ask(ctx, q)
	}
	return m
}

// ask begins to look a policy up. What the resolver remembers it answers without
// waiting, even to who has no time: mostly that is all, and nobody has to be
// started.
func (m *Message) ask(ctx context.Context, q spf.Query) *asked {
	known := recall{resolver: m.v.resolver}
	verdict := m.v.policies.Check(noTime, &known, q)
	if !known.missed {
		return &asked{verdict: verdict}
	}
	if m.stop == nil {
		m.ctx, m.stop = context.WithTimeout(ctx, senderPatience)
	}
	a := &asked{done: make(chan struct{})}
	m.looking.Go(func() {
		defer close(a.done)
		a.verdict = m.v.policies.Check(m.ctx, m.v.resolver, q)
	})
	return a
}

// SPF waits for what is found out of the sender. ok is false if the context
// ends first.
func (m *Message) SPF(ctx context.Context) (v spf.Verdict, ok bool) {
	if m.spf.done == nil {
		return m.spf.verdict, true
	}
	select {
	case <-m.spf.done:
		return m.spf.verdict, true
	case <-ctx.Done():
		return v, false
	}
}

// Named tells the host's name and the result of iprev, once they are known.
func (m *Message) Named(name, status string) { m.origin.Name, m.origin.NameStatus = name, status }

// Write takes the next octets of the message, as they came. It never fails.
func (m *Message) Write(p []byte) (int, error) { return m.text.Write(p) }

// Abandon ends a message that does not come to its end.
func (m *Message) Abandon() {
	if m.stop != nil {
		m.stop()
		m.looking.Wait()
	}
}

// Findings are all that was found out.
type Findings struct {
	Origin Origin
	Helo   spf.Verdict
	SPF    spf.Verdict // of MAIL FROM; for the null sender that of HELO. RFC 7208 §2.4
	DKIM   []dkim.Result
	ARC    arc.Verdict
	DMARC  dmarc.Verdict
	// Authors are the domains of the From field, in A-labels.
	Authors []string
	// Froms is how many From fields there are: one, or a reader shows this and
	// another that.
	Froms int
	// Obscure says that there is none, although something is there that people may
	// take for an address.
	Obscure bool
	// List is what the message calls the mailing list that it came through: its
	// List-Id, or "a mailing list"; "" if it says nothing of one. RFC 2919
	List string
	// Sealer is the domain that is believed to have seen DMARC pass, though it
	// does not here; "" if there is none. RFC 8617 §7.2.1
	Sealer string
	// BIMI is where the picture is that the author's domain wants shown; its
	// result is "" if that was not asked.
	BIMI bimi.Verdict
}

// Finish ends the message and gives what was found out. The context bounds the
// lookups.
func (m *Message) Finish(ctx context.Context, now time.Time) Findings {
	ctx, cancel := context.WithTimeout(ctx, finishPatience)
	defer cancel()
	f := Findings{Origin: m.origin}
	f.DKIM = m.signatures.Finish(ctx, m.v.resolver, now)
	f.ARC = m.chain.Finish(ctx, m.v.resolver)
	m.wait(ctx)
	f.Helo, f.SPF = m.helo.verdict, m.spf.verdict
	f.Authors, f.List = authors(m.text.Header()), list(m.text.Header())
	froms := m.text.Header().Named("from")
	f.Froms = len(froms)
	f.Obscure = len(f.Authors) == 0 && slices.ContainsFunc(froms, func(field []byte) bool {
		return bytes.IndexByte(field, '@') >= 0
	})
	if len(f.Authors) != 1 { // RFC 9989 §5.3.1
		f.DMARC = dmarc.Verdict{Result: dmarc.PermError, Problem: "the From field has not one domain"}
		return f
	}
	f.DMARC = m.v.records.Check(ctx, m.v.resolver, f.Authors[0], f.evidence())
	if f.DMARC.Result == dmarc.Fail || f.DMARC.Result == dmarc.TempError {
		f.Sealer = f.believed(m.v.o.Sealers)
	}
	if m.v.o.Indicators {
		f.BIMI = m.v.indicator(ctx, f, m.text.Header())
	}
	return f
}

// wait waits for the sender's policies, as long as the context lasts.
func (m *Message) wait(ctx context.Context) {
	if m.stop == nil {
		return
	}
	defer m.stop()
	defer context.AfterFunc(ctx, m.stop)()
	m.looking.Wait()
}

// evidence is what DMARC goes by.
func (f Findings) evidence() dmarc.Evidence {
	var e dmarc.Evidence
	switch f.SPF.Result {
	case spf.Pass:
		e.SPF = f.SPF.Domain
	case spf.TempError:
		e.MaybeSPF = f.SPF.Domain
	}
	for _, r := range f.DKIM {
		switch r.Status {
		case dkim.Pass:
			e.DKIM = append(e.DKIM, r.Domain)
		case dkim.TempError:
			e.MaybeDKIM = append(e.MaybeDKIM, r.Domain)
		}
	}
	return e
}

// authors gives the domains of the From fields. Who writes for several domains
// or in several fields has not one.
func authors(header *dkim.Header) []string {
	var domains []string
	for _, field := range header.Named("from") {
		for _, a := range message.ParseAddressList(string(dkim.Value(field))) {
			if a.Group || a.Domain == "" {
				continue
			}
			domain := strings.ToLower(strings.TrimSuffix(a.Domain, "."))
			if !isASCII(domain) {
				if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
					domain = ascii
				}
			}
			if len(domains) == 0 || domains[0] != domain {
				domains = append(domains, domain)
			}
			if len(domains) > 1 {
				return domains
			}
		}
	}
	return domains
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// list gives what the header says of a mailing list.
func list(header *dkim.Header) string {
	if ids := header.Named("list-id"); len(ids) > 0 { // RFC 2919 §2
		value := string(dkim.Value(ids[0]))
		if at := strings.LastIndexByte(value, '<'); at >= 0 {
			value, _, _ = strings.Cut(value[at+1:], ">")
		}
		value = strings.TrimSpace(value)
		return strings.ToValidUTF8(value[:min(len(value), maxListID)], "?")
	}
	if header.Has("list-post") { // RFC 2369 §3.4
		return "a mailing list"
	}
	return ""
}

// maxListID bounds what is kept of a list's name. RFC 2919 §3
const maxListID = 255

// believed looks in the chain for a sealer that has seen DMARC pass, as long as
// all that have sealed after it are believed too. RFC 8617 §7.2.1
func (f Findings) believed(sealers []string) string {
	if f.ARC.Status != arc.Pass {
		return ""
	}
	for i := len(f.ARC.Links) - 1; i >= 0; i-- {
		link := f.ARC.Links[i]
		if !among(link.Domain, sealers) {
			return ""
		}
		_, results, _ := authres.Parse(link.Results)
		for _, r := range results {
			from, _ := r.Get("header", "from")
			if r.Method == "dmarc" && r.Value == "pass" && strings.EqualFold(from, f.Authors[0]) {
				return link.Domain
			}
		}
	}
	return ""
}

// among reports whether a domain is one of some, or below one.
func among(domain string, some []string) bool {
	for _, s := range some {
		if strings.EqualFold(domain, s) || strings.HasSuffix(domain, "."+strings.ToLower(s)) {
			return true
		}
	}
	return false
}
