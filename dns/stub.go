package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	"waxwing/dns/cache"
)

const (
	// The size of UDP answers that travels unfragmented: DNS flag day 2020.
	udpSize = 1232
	// How long one server may take for one try.
	tryTimeout = 3 * time.Second
	// Tries at every server.
	triesPerServer = 2
	// CNAMEs followed, RFC 1034 §5.2.2 wants loops to end.
	maxAliases = 8

	maxCached      = 8 << 20 // octets of answers, about
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = time.Hour // RFC 2308 §5 allows three
	// failureTTL is how long a dead server is left alone. RFC 9520 §3.2
	failureTTL = 5 * time.Second
)

// StubOptions say whom a Stub asks. The zero value asks the servers of
// /etc/resolv.conf.
type StubOptions struct {
	// Servers are asked in turn, as "address:port".
	Servers []string
	// TrustAD believes a server's word that an answer is authentic. Right only
	// for a validating server on this machine, since the way to any other can
	// be tampered with. RFC 6840 §5.8
	TrustAD bool
}

// A Stub is a Resolver that asks recursive servers. An authoritative server in
// their place works too as far as its zones reach.
type Stub struct {
	Lookups
	servers []string
	trustAD bool
	cache   *cache.Cache[cacheKey, *answer]
	flights singleflight.Group
}

// NewStub makes a Stub. It fails if a server's address is malformed, or none
// is given and /etc/resolv.conf has none.
func NewStub(o StubOptions) (*Stub, error) {
	s := &Stub{servers: o.Servers, trustAD: o.TrustAD, cache: cache.New[cacheKey, *answer](maxCached)}
	s.Lookups = NewLookups(s)
	if len(s.servers) == 0 {
		servers, err := SystemServers()
		if err != nil {
			return nil, err
		}
		s.servers = servers
	}
	for _, server := range s.servers {
		if _, err := netip.ParseAddrPort(server); err != nil {
			return nil, fmt.Errorf("DNS server %q: want an IP address and a port, such as 127.0.0.1:53", server)
		}
	}
	return s, nil
}

// SystemServers gives the servers of /etc/resolv.conf, of which there must be
// one.
func SystemServers() ([]string, error) {
	conf, err := wire.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("read resolver settings: %w", err)
	}
	if len(conf.Servers) == 0 {
		return nil, errors.New("no DNS server in /etc/resolv.conf")
	}
	var servers []string
	for _, server := range conf.Servers {
		servers = append(servers, net.JoinHostPort(server, conf.Port))
	}
	return servers, nil
}

// An answer is what the servers said to one question, good or bad.
type answer struct {
	records   []wire.RR
	noName    bool // NXDOMAIN
	authentic bool
	failed    bool // no usable answer
	detail    string
	ttl       time.Duration
}

type cacheKey struct {
	name  string
	qtype uint16
}

// err gives the failure that an answer stands for; no records is none yet,
// since there may be a CNAME.
func (a *answer) err(name string, qtype uint16) error {
	if a.failed {
		return temporary(name, qtype, a.detail)
	}
	return nil
}

// size is what an answer takes in the cache, about.
func (a *answer) size() int {
	n := 200 + len(a.detail)
	for _, rr := range a.records {
		n += 120 + wire.Len(rr)
	}
	return n
}

// Resolve answers one question, from the cache or the servers, following
// CNAMEs. It implements Source.
func (s *Stub) Resolve(ctx context.Context, name string, qtype uint16) (*Answer, error) {
	name = wire.CanonicalName(name)
	if _, ok := wire.IsDomainName(name); !ok {
		return &Answer{Name: name, NoName: true, Detail: "not a domain name"}, nil
	}
	answer := &Answer{}
	for i := range maxAliases {
		a, err := s.question(ctx, name, qtype)
		if err != nil {
			return nil, err
		}
		said := Finding{Security: Indeterminate, Reason: "nobody has proved the answer"}
		if a.authentic {
			said = Finding{Security: Secure}
		}
		if i == 0 {
			answer.Asked, answer.Finding = said.Security, said
		}
		answer.Finding = answer.Finding.Weaker(said)
		records, next := follow(a.records, name, qtype)
		if len(records) > 0 || next == name {
			answer.Name, answer.Records, answer.NoName, answer.Detail = next, records, a.noName, a.detail
			return answer, nil
		}
		name = next
	}
	return nil, temporary(name, qtype, "too many CNAMEs")
}

// follow goes along the CNAMEs in one answer. It gives the records at the end
// of the chain, or the name at which the answer stops.
func follow(answer []wire.RR, name string, qtype uint16) (records []wire.RR, end string) {
	for range maxAliases {
		alias := ""
		for _, rr := range answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if rr.Header().Rrtype == qtype {
				records = append(records, rr)
			} else if c, ok := rr.(*wire.CNAME); ok {
				alias = wire.CanonicalName(c.Target)
			}
		}
		if len(records) > 0 || alias == "" {
			return records, name
		}
		name = alias
	}
	return nil, name
}

// question asks for exactly this name and type; several callers with the same
// question share one flight.
func (s *Stub) question(ctx context.Context, name string, qtype uint16) (*answer, error) {
	key := cacheKey{name, qtype}
	if a, ok := s.cache.Get(key, time.Now()); ok {
		return a, a.err(name, qtype)
	}
	flight := s.flights.DoChan(fmt.Sprintf("%d %s", qtype, name), func() (any, error) {
		// The flight outlives the caller that began it: others wait for it.
		budget := time.Duration(len(s.servers)*triesPerServer) * tryTimeout
		flightCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
		defer cancel()
		a := s.ask(flightCtx, name, qtype)
		if a.ttl > 0 {
			s.cache.Put(key, a, a.size(), time.Now().Add(a.ttl))
		}
		return a, nil
	})
	select {
	case <-ctx.Done():
		return nil, &Error{Name: name, Type: wire.TypeToString[qtype], Detail: "no answer in time", Err: fmt.Errorf("%w: %w", ErrTemporary, ctx.Err())}
	case r := <-flight:
		a := r.Val.(*answer)
		return a, a.err(name, qtype)
	}
}

// ask tries the servers in turn until one gives a usable answer.
func (s *Stub) ask(ctx context.Context, name string, qtype uint16) *answer {
	detail := "no server answered"
	for range triesPerServer {
		for _, server := range s.servers {
			a, err := s.exchange(ctx, server, name, qtype)
			if err == nil {
				return a
			}
			detail = fmt.Sprintf("%s: %v", server, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	return &answer{failed: true, detail: detail, ttl: failureTTL}
}

// exchange asks one server, over UDP and, when the answer was cut, over TCP.
// RFC 7766 §5
func (s *Stub) exchange(ctx context.Context, server, name string, qtype uint16) (*answer, error) {
	q := new(wire.Msg)
	q.SetQuestion(name, qtype)
	q.Id = uint16(rand.Uint32())
	q.SetEdns0(udpSize, s.trustAD)
	q.AuthenticatedData = s.trustAD
	udp := wire.Client{Net: "udp", Timeout: tryTimeout, UDPSize: udpSize}
	m, _, err := udp.ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		tcp := wire.Client{Net: "tcp", Timeout: tryTimeout}
		m, _, err = tcp.ExchangeContext(ctx, q, server)
	}
	if err != nil {
		return nil, err
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != qtype || !strings.EqualFold(m.Question[0].Name, name) {
		return nil, errors.New("answer to another question")
	}
	switch m.Rcode {
	case wire.RcodeSuccess, wire.RcodeNameError:
	default:
		return nil, fmt.Errorf("answered %s", wire.RcodeToString[m.Rcode])
	}
	a := &answer{
		records:   m.Answer,
		noName:    m.Rcode == wire.RcodeNameError,
		authentic: s.trustAD && m.AuthenticatedData,
		detail:    "no records",
	}
	if a.noName {
		a.detail = "the name does not exist"
	}
	a.ttl = ttlOf(m)
	return a, nil
}

// ttlOf says how long an answer may be kept: as long as its shortest record,
// or as the SOA says for a negative one. RFC 2308 §5
func ttlOf(m *wire.Msg) time.Duration {
	ttl := uint32(maxTTL / time.Second)
	if len(m.Answer) == 0 {
		ttl = uint32(failureTTL / time.Second)
		for _, rr := range m.Ns {
			if soa, ok := rr.(*wire.SOA); ok {
				ttl = min(soa.Hdr.Ttl, soa.Minttl, uint32(maxNegativeTTL/time.Second))
			}
		}
	}
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
	}
	return time.Duration(ttl) * time.Second
}

func temporary(name string, qtype uint16, detail string) error {
	return &Error{Name: name, Type: wire.TypeToString[qtype], Detail: detail, Err: ErrTemporary}
}
