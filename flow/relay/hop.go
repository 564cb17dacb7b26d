package relay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"waxwing/store/outqueue"
)

// A way is how a group of recipients is reached.
type way int

const (
	toHosts   way = iota // by SMTP, to the hosts of a hop
	toStore              // by LMTP
	toHere               // into our own mailboxes
	toAccount            // into one of our accounts, once more
	toNobody             // the answer is known already
)

// A hop is the next host, or the hosts of which any will do.
type hop struct {
	name  string // in places
	route Route  // zero where it goes as DNS says
	hosts []string
	road  road
	// domains are those whose mail goes there.
	domains []string
}

// A group is the recipients that are tried together.
type group struct {
	indexes []int // in Envelope.To
	domains []string
	way     way
	hop     hop
	answer  answer // for toNobody
}

// groups sorts the pending recipients by where they go: those of one domain
// together, and with them those of other domains that have the same hosts.
func (a *attempt) groups(ctx, work context.Context) []*group {
	pending := a.item.Pending()
	a.open, a.left = len(pending), len(pending)
	if len(pending) == 1 { // most messages
		g := &group{indexes: pending, domains: []string{a.item.Envelope.To[pending[0]].Address.Domain}}
		a.direct(ctx, work, g)
		return []*group{g}
	}
	var all []*group
	at := map[string]*group{}
	routes := a.routes.Load()
	for _, i := range pending {
		to := a.item.Envelope.To[i].Address
		domain := to.Domain
		ours, _ := routes.choose(a.item.Envelope.From, to, true)
		theirs, _ := routes.choose(a.item.Envelope.From, to, false)
		key := domain + " " + ours.name + " " + theirs.name
		g := at[key]
		if g == nil {
			g = &group{domains: []string{domain}}
			at[key] = g
			all = append(all, g)
		}
		g.indexes = append(g.indexes, i)
	}
	a.each(len(all), func(n int) { a.direct(ctx, work, all[n]) })
	return a.joined(all)
}

// direct finds out where a group goes.
func (a *attempt) direct(ctx, work context.Context, g *group) {
	nobody := func(w answer) { g.way, g.answer = toNobody, w }
	domain := g.domains[0]
	if a.item.Account != 0 {
		g.way = toAccount
		return
	}
	local, err := a.deliverer.IsLocal(work, domain)
	if err != nil {
		nobody(answer{err: err})
		return
	}
	if by := a.item.Envelope.By; by.Return && !by.IsZero() && !time.Now().Before(by.At) {
		nobody(answer{err: tooLate()}) // RFC 2852 §4.1.3
		return
	}
	route, ok := a.routes.Load().choose(a.item.Envelope.From, a.item.Envelope.To[g.indexes[0]].Address, local)
	g.hop.route = route
	switch {
	case a.item.Reroute != "" && !(a.item.Reroute == "direct" && local):
		// An administrator has said where it goes.
		if g.hop.route, err = ParseRoute("", a.item.Reroute); err != nil {
			nobody(answer{err: ownRefusal(4, 3, 5, "the route %q that was set cannot be used: %v", a.item.Reroute, err)})
			return
		}
		ok = true
	case a.item.Reroute != "" || !ok && local:
		g.way = toHere
		return
	}
	if ok && g.hop.route.isStore() {
		g.way, g.hop.name = toStore, g.hop.route.String()
		a.places.learn(outqueue.Destination(domain), g.hop.name)
		return
	}
	if trouble, ok := a.down.trouble(downDomain(domain, g.hop.route), time.Now()); ok {
		nobody(trouble)
		return
	}
	g.hop.hosts, g.hop.road, err = a.hosts(ctx, domain, g.hop.route)
	if err != nil {
		w := answer{err: err}
		if temporary(err) && ctx.Err() == nil {
			a.down.mark(downDomain(domain, g.hop.route), w, time.Now())
		} else {
			a.down.clear(downDomain(domain, g.hop.route))
		}
		nobody(w)
		return
	}
	if err = a.survey(ctx, &g.hop, domain); err != nil {
		a.down.release(downDomain(domain, g.hop.route))
		nobody(answer{err: err})
		return
	}
	g.hop.name = hopName(g.hop.hosts, g.hop.route)
	a.places.learn(outqueue.Destination(domain), g.hop.name)
}

// hopName names hosts, which come in any order where they are equally good, and
// the route to them.
func hopName(hosts []string, r Route) string {
	if len(hosts) == 1 {
		return hosts[0] + " " + r.name
	}
	sorted := slices.Clone(hosts)
	slices.Sort(sorted)
	return strings.Join(append(sorted, r.name), " ")
}

// hosts gives the hosts that are tried for a domain, the best first, and what is
// known of the way there.
func (a *attempt) hosts(ctx context.Context, domain string, r Route) ([]string, road, error) {
	switch {
	case r.Host == "":
		return exchangers(ctx, a.resolver, domain, a.hostname)
	case r.MX:
		return exchangers(ctx, a.resolver, r.Host, a.hostname)
	}
	return []string{r.Host}, road{}, nil
}

// downDomain names a domain in down, by the way that its mail goes.
func downDomain(domain string, r Route) string { return domain + " " + r.name }

// joined puts groups together that have the same hosts, and may travel there in
// the same way.
func (a *attempt) joined(all []*group) []*group {
	var groups []*group
	at := map[string]*group{}
	for _, g := range all {
		if g.way != toHosts {
			groups = append(groups, g)
			continue
		}
		key := g.hop.name + " " + g.hop.road.apart()
		first := at[key]
		if first == nil {
			at[key] = g
			groups = append(groups, g)
			continue
		}
		first.domains = append(first.domains, g.domains...)
		first.indexes = append(first.indexes, g.indexes...)
	}
	return groups
}

// known tells of each domain of a group how it was found.
func (a *attempt) known(ctx context.Context, g *group, how outcome, trouble answer) {
	for _, domain := range g.domains {
		name := downDomain(domain, g.hop.route)
		switch {
		case how == nothing || ctx.Err() != nil:
			a.down.release(name)
		case how == unreachable:
			a.down.mark(name, trouble, time.Now())
		default:
			a.down.clear(name)
		}
	}
}

// seatAt takes a place at a hop: that which the attempt was given, if it is
// there.
func (a *attempt) seatAt(ctx context.Context, hop string) (*seat, error) {
	a.mu.Lock()
	s := a.seat
	a.seat = nil
	a.mu.Unlock()
	if s != nil && s.hop == hop {
		return s, nil
	}
	s.leave(nothing, time.Now())
	return a.places.enter(ctx, hop)
}

// outcomeOf says what answers tell about the hop. What is said of a recipient
// (greylisting) is about that one only.
func outcomeOf(answers []answer) outcome {
	how := nothing
	for _, w := range answers {
		switch {
		case w.err == nil:
			return worked
		case errors.Is(w.err, context.Canceled), errors.Is(w.err, errNotSent):
		case saysTooMuch(w.err):
			how = max(how, slowed)
		case said(w.err):
			return worked
		case temporary(w.err) && w.network:
			how = unreachable
		}
	}
	return how
}
