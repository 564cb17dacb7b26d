package recursor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	wire "github.com/miekg/dns"
)

const (
	// Tries at the servers of one zone for one question, and at one server.
	maxTries       = 10
	triesPerServer = 3
)

// askZone asks a zone's servers, one after the other, until one gives an
// answer that can be used.
func (t *task) askZone(ctx context.Context, d *delegation, name string, qtype uint16) (*response, error) {
	var resp *response
	err := t.eachServer(ctx, d, name, qtype, func(m *wire.Msg, server netip.AddrPort) error {
		r, err := read(m, d.zone, d.recursive, name, qtype)
		if err != nil {
			return err
		}
		r.server = server
		resp = r
		return nil
	})
	return resp, err
}

// anyReply asks a zone's servers and gives the first reply without error.
func (t *task) anyReply(ctx context.Context, d *delegation, name string, qtype uint16) (reply *wire.Msg, from netip.AddrPort, err error) {
	err = t.eachServer(ctx, d, name, qtype, func(m *wire.Msg, server netip.AddrPort) error {
		if m.Rcode != wire.RcodeSuccess {
			return fmt.Errorf("answered %s", rcodeName(m.Rcode))
		}
		reply, from = m, server
		return nil
	})
	return reply, from, err
}

// eachServer asks until take has nothing to object to.
func (t *task) eachServer(ctx context.Context, d *delegation, name string, qtype uint16, take func(*wire.Msg, netip.AddrPort) error) error {
	why := errors.New("it has no servers with an address")
	tried := make(map[netip.AddrPort]int)
	for range maxTries {
		server, err := t.choose(ctx, d, tried)
		if err != nil {
			why = err
		}
		if !server.IsValid() {
			break
		}
		m, err := t.exchange(ctx, d, server, name, qtype, tried[server] > 0)
		tried[server]++
		if err == nil {
			if err = take(m, server); err == nil {
				return nil
			}
			tried[server] = triesPerServer // it will say the same again
		}
		t.say("%s %s: %v: %v", name, wire.Type(qtype), server, err)
		why = fmt.Errorf("%v: %w", server, err)
		if errors.Is(err, errSpent) || ctx.Err() != nil {
			break
		}
	}
	return failed(name, qtype, wire.ExtendedErrorCodeNoReachableAuthority, "no answer from the servers of %s: %v", d.zone, why)
}

// choose picks the server to ask next: the one that will answer soonest, of
// those least tried. Servers without addresses are looked up when the others
// have not helped.
func (t *task) choose(ctx context.Context, d *delegation, tried map[netip.AddrPort]int) (netip.AddrPort, error) {
	best, ok := t.best(d, tried, 0, false)
	if ok {
		return best, nil
	}
	var why error
	for _, i := range rand.Perm(len(d.servers)) {
		s := d.servers[i]
		if len(s.addrs) > 0 || len(t.knownAddrs(s.name)) > 0 {
			continue
		}
		if err := t.lookUp(ctx, s.name); err != nil {
			why = err
			if errors.Is(err, errSpent) || errors.Is(err, errDeep) || ctx.Err() != nil {
				break
			}
			continue
		}
		if best, ok = t.best(d, tried, 0, false); ok {
			return best, nil
		}
	}
	for n := range triesPerServer {
		if best, ok = t.best(d, tried, n, true); ok {
			return best, nil
		}
	}
	return netip.AddrPort{}, why
}

// best gives the server that will answer soonest, of those tried at most n
// times; those whose answers were bogus only if any will do.
func (t *task) best(d *delegation, tried map[netip.AddrPort]int, n int, anyWillDo bool) (best netip.AddrPort, found bool) {
	v6 := t.r.hosts.hasV6(t.now)
	var least time.Duration
	for _, s := range d.servers {
		addrs := s.addrs
		if len(addrs) == 0 {
			addrs = t.knownAddrs(s.name)
		}
		for _, a := range addrs {
			if tried[a] > n || !v6 && a.Addr().Is6() || t.avoid[a] && !anyWillDo {
				continue
			}
			score := t.r.hosts.get(a, t.now).score(t.now)
			if !found || score < least {
				best, least, found = a, score, true
			}
		}
	}
	return best, found
}

// knownAddrs gives the addresses that a server's name is known to have.
func (t *task) knownAddrs(host string) []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, qtype := range [...]uint16{wire.TypeA, wire.TypeAAAA} {
		r, ok := t.r.raw.Get(question{host, qtype}, t.now)
		if !ok || r.kind != positive {
			continue
		}
		for _, rr := range find(r.answer, host, qtype).Records {
			if addr, ok := addrOf(rr); ok && len(addrs) < maxGlue {
				addrs = append(addrs, netip.AddrPortFrom(addr, t.r.port()))
			}
		}
	}
	return addrs
}

// lookUp finds a server's addresses out. It may not be an alias, RFC 2181
// §10.3. The addresses need no proof: what the server says does.
func (t *task) lookUp(ctx context.Context, host string) error {
	if t.looking[host] {
		return fmt.Errorf("to find %s, %s must be found first", host, host)
	}
	if t.depth >= maxDepth {
		return errDeep
	}
	t.looking[host] = true
	t.depth++
	defer func() {
		delete(t.looking, host)
		t.depth--
	}()
	var why error
	for _, qtype := range [...]uint16{wire.TypeA, wire.TypeAAAA} {
		if qtype == wire.TypeAAAA && !t.r.hosts.hasV6(t.now) {
			break
		}
		if t.names--; t.names < 0 {
			return errSpent
		}
		r, err := t.iterate(ctx, host, qtype)
		if err != nil {
			why = err
			continue
		}
		t.r.raw.Put(question{host, qtype}, r, r.size(), t.now.Add(r.ttl))
		if len(t.knownAddrs(host)) > 0 {
			return nil
		}
	}
	if why == nil {
		why = fmt.Errorf("%s has no address", host)
	}
	return why
}

// exchange asks one server one question, over UDP and, where needed, TCP.
func (t *task) exchange(ctx context.Context, d *delegation, server netip.AddrPort, name string, qtype uint16, again bool) (*wire.Msg, error) {
	h := t.r.hosts.get(server, t.now)
	overTCP := t.r.options.MixedCase && again // capitals may be what it does not like
	renewed := false                          // its cookie, once
	for range 5 {
		if t.exchanges--; t.exchanges < 0 {
			return nil, errSpent
		}
		how, had := h.manner()
		cookie := had
		if how == withCookie && cookie == "" {
			cookie = t.r.cookies.of(server)
		}
		query := newQuery(name, qtype, d.recursive, how != plain, cookie)
		if t.r.options.MixedCase && !overTCP {
			query.Question[0].Name = mixCase(name)
		}
		m, err := t.send(ctx, h, server, query, overTCP)
		if errors.Is(err, errForged) && !overTCP {
			overTCP = true
			continue
		}
		if err != nil {
			return nil, err
		}
		if got := cookieOf(m); len(got) > clientCookie {
			h.setCookie(got)
		} else if len(had) > clientCookie && !overTCP && m.Rcode != wire.RcodeFormatError {
			// RFC 7873 §5.3: who gave a cookie gives it again, unless somebody
			// else is answering.
			h.setCookie("")
			overTCP = true
			continue
		}
		switch {
		case m.Truncated && !overTCP:
			overTCP = true
		case m.Rcode == wire.RcodeBadCookie && !overTCP: // RFC 7873 §5.3: once more with the cookie that it gave
			overTCP, renewed = renewed, true
		case how == withCookie && m.Rcode == wire.RcodeFormatError:
			h.setManner(withEDNS) // QUIRK: some take any option for an error
		case how != plain && (m.Rcode == wire.RcodeFormatError || m.Rcode == wire.RcodeNotImplemented || m.Rcode == wire.RcodeBadVers):
			h.setManner(plain) // RFC 6891 §7
		default:
			return m, nil
		}
	}
	return nil, errors.New("neither UDP nor TCP leads to an answer")
}

// send makes one exchange and notes how the server did.
func (t *task) send(ctx context.Context, h *host, server netip.AddrPort, query *wire.Msg, overTCP bool) (*wire.Msg, error) {
	wait := h.timeout()
	if overTCP {
		wait += maxTimeout
	}
	tryCtx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	began := time.Now()
	m, err := t.r.exchanger.Exchange(tryCtx, server, query, overTCP)
	switch {
	case err == nil:
		h.answered(time.Since(began))
	case ctx.Err() != nil:
	case server.Addr().Is6() && noWay(err):
		t.r.hosts.lostV6(time.Now())
	default:
		h.unanswered(time.Now())
	}
	return m, err
}

// noWay tells whether an address cannot be reached from this machine at all.
func noWay(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}
