package adminapi

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/store/peers"
)

// Peer is what is known of a host, network or domain that brings mail.
type Peer struct {
	Name string `json:"name"`
	// Verdict says what a connection from there would meet now, in words; only
	// in the answer about one peer.
	Verdict string `json:"verdict,omitempty"`
	Known   bool   `json:"known"` // its history speaks for it

	// What it has done lately; each is forgotten with time.
	Connections  float64 `json:"connections"`   // in a minute
	Messages     float64 `json:"messages"`      // in an hour
	Recipients   float64 `json:"recipients"`    // in an hour
	Unknown      float64 `json:"unknown"`       // recipients that do not exist, in an hour
	FailedLogins float64 `json:"failed_logins"` // in a quarter of an hour
	Refused      float64 `json:"refused"`       // in a day
	Spam         float64 `json:"spam"`          // in a day
	Delivered    float64 `json:"delivered"`     // in thirty days
	Passed       float64 `json:"passed"`        // greylisted messages that came back, in sixty days

	First *time.Time `json:"first,omitempty"`
	Last  *time.Time `json:"last,omitempty"`
	Rule  *PeerRule  `json:"rule,omitempty"`
}

// PeerRule is what an administrator has said of a peer.
type PeerRule struct {
	Name    string     `json:"name"`
	Allow   bool       `json:"allow"` // else it is blocked
	Reason  string     `json:"reason,omitempty"`
	Created time.Time  `json:"created"`
	Until   *time.Time `json:"until,omitempty"` // nil for always
}

// NewPeerRule is a PUT.
type NewPeerRule struct {
	Allow   bool   `json:"allow"`
	Reason  string `json:"reason,omitempty"`
	Seconds int64  `json:"seconds,omitempty"` // for how long; 0 for always
}

func (a *API) routePeers(mux *http.ServeMux) {
	mux.Handle("GET /v1/peers", a.handle(http.StatusOK, a.listPeers))
	mux.Handle("GET /v1/peers/{name}", a.handle(http.StatusOK, a.getPeer))
	mux.Handle("PUT /v1/peers/{name}", a.handle(http.StatusOK, a.setPeerRule))
	mux.Handle("DELETE /v1/peers/{name}", a.handle(http.StatusOK, a.forgetPeer))
	mux.Handle("POST /v1/accounts/{address}/pause", a.handle(http.StatusOK, a.pauseAccount))
	mux.Handle("POST /v1/accounts/{address}/resume", a.handle(http.StatusOK, a.resumeAccount))
}

func ruleOf(r peers.Rule) *PeerRule {
	rule := &PeerRule{Name: r.Name, Allow: r.Allow, Reason: r.Reason, Created: utc(r.Created)}
	if !r.Until.IsZero() {
		until := utc(r.Until)
		rule.Until = &until
	}
	return rule
}

func peerOf(p peers.Peer, rule peers.Rule, ruled bool) Peer {
	c := p.Counts
	answer := Peer{
		Name: p.Subject.String(), Connections: c[peers.Connections], Messages: c[peers.Messages], Recipients: c[peers.Recipients],
		Unknown: c[peers.Unknown], FailedLogins: c[peers.FailedLogins], Refused: c[peers.Refused], Spam: c[peers.Spam],
		Delivered: c[peers.Delivered], Passed: c[peers.Passed],
	}
	host := policy.Host{Peer: p}
	if ruled {
		host.Rule, answer.Rule = &rule, ruleOf(rule)
	}
	answer.Known = host.Known()
	if !p.First.IsZero() {
		first, last := utc(p.First), utc(p.Last)
		answer.First, answer.Last = &first, &last
	}
	return answer
}

// listPeers lists hosts and networks that have been seen, or the rules.
func (a *API) listPeers(r *http.Request) (any, error) {
	now := time.Now()
	var all []Peer
	if r.URL.Query().Get("rules") == "true" {
		for _, rule := range a.o.Peers.Rules(now) {
			all = append(all, Peer{Name: rule.Name, Rule: ruleOf(rule)})
		}
	} else {
		for _, p := range a.o.Peers.All(now) {
			if network := p.Subject.Network(); network.IsValid() {
				rule, ruled := a.o.Peers.RuleForAddress(network.Addr(), now)
				all = append(all, peerOf(p, rule, ruled))
			}
		}
	}
	skip := 0
	if s := r.URL.Query().Get("after"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, problemf(http.StatusBadRequest, "after is no place in the list")
		}
		skip = min(n, len(all))
	}
	at := skip
	return paged(r, each(all[skip:]), func(p Peer) Peer { return p }, func(Peer) string { at++; return strconv.Itoa(at) })
}

// each makes a slice what paged takes.
func each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// peerName reads the name in a path.
func peerName(r *http.Request) (network netip.Prefix, domain string, err error) {
	network, domain, ok := peers.Canonical(r.PathValue("name"))
	if !ok {
		return network, domain, problemf(http.StatusUnprocessableEntity, "%q is neither an address nor a network such as 192.0.2.0/24 nor a domain", r.PathValue("name"))
	}
	return network, domain, nil
}

func (a *API) getPeer(r *http.Request) (any, error) {
	network, domain, err := peerName(r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if domain != "" {
		answer := Peer{Name: domain, Verdict: "nothing is said of it"}
		if rule, ok := a.o.Peers.RuleForDomain(domain, now); ok {
			answer.Rule, answer.Verdict = ruleOf(rule), words(rule)
		}
		return answer, nil
	}
	rule, ruled := a.o.Peers.RuleForAddress(network.Addr(), now)
	subject := peers.OfAddress(network.Addr())
	if network.Addr().Is4() && network.Bits() == 24 {
		subject = peers.OfNeighbourhood(network.Addr())
	}
	p := a.o.Peers.Peer(subject, now)
	answer := peerOf(p, rule, ruled)
	host := policy.Host{Addr: network.Addr(), Peer: p, Near: a.o.Peers.Peer(peers.OfNeighbourhood(network.Addr()), now)}
	if ruled {
		host.Rule = &rule
	}
	answer.Verdict = a.foretell(host)
	return answer, nil
}

// foretell says in words what a connection would meet.
func (a *API) foretell(h policy.Host) string {
	if a.o.Rules.Trusts(h.Addr) {
		return "it is trusted: no rule holds for it"
	}
	if h.Rule != nil && h.Rule.Allow {
		return words(*h.Rule)
	}
	for _, v := range []policy.Verdict{a.o.Rules.Connect(h), a.o.Rules.Mail(h)} {
		if v.Refusal != nil {
			return "it is refused: " + v.Refusal.Error()
		}
	}
	switch {
	case h.Known():
		return "it is let in: it has brought good mail"
	case len(h.Marks(a.o.Rules)) > 0:
		return "it is let in, but suspicious: " + strings.Join(h.Marks(a.o.Rules), "; ")
	}
	return "it is let in as a stranger: it waits for the greeting, and what its name, its HELO and the lists say counts"
}

// words says a rule in words.
func words(r peers.Rule) string {
	verb := "blocked"
	if r.Allow {
		verb = "allowed"
	}
	return strings.TrimSuffix(r.Name+" is "+verb+" by an administrator: "+r.Reason, ": ")
}

func (a *API) setPeerRule(r *http.Request) (any, error) {
	if _, _, err := peerName(r); err != nil {
		return nil, err
	}
	body, err := decode[NewPeerRule](r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rule := peers.Rule{Name: r.PathValue("name"), Allow: body.Allow, Reason: body.Reason, Created: now}
	if body.Seconds < 0 || body.Seconds > 1<<32 {
		return nil, problemf(http.StatusUnprocessableEntity, "the time is out of range")
	}
	if body.Seconds > 0 {
		rule.Until = now.Add(time.Duration(body.Seconds) * time.Second)
	}
	if rule, err = a.o.Peers.SetRule(r.Context(), rule); err != nil {
		if errors.Is(err, peers.ErrTooMany) {
			return nil, problemf(http.StatusConflict, "there are too many rules; forget some, or write networks in place of addresses")
		}
		return nil, err
	}
	return ruleOf(rule), nil
}

// forgetPeer takes back what has been said of a peer, and forgets what it has
// done.
func (a *API) forgetPeer(r *http.Request) (any, error) {
	network, _, err := peerName(r)
	if err != nil {
		return nil, err
	}
	err = a.o.Peers.DeleteRule(r.Context(), r.PathValue("name"))
	if !network.IsValid() {
		if errors.Is(err, peers.ErrNoRule) {
			return nil, problemf(http.StatusNotFound, "nothing is said of %s", r.PathValue("name"))
		}
		return nil, err
	}
	if err != nil && !errors.Is(err, peers.ErrNoRule) {
		return nil, err
	}
	known := slices.ContainsFunc(a.o.Peers.All(time.Now()), func(p peers.Peer) bool {
		return p.Subject.Network().IsValid() && network.Overlaps(p.Subject.Network())
	})
	if err != nil && !known {
		return nil, problemf(http.StatusNotFound, "nothing is known of %s", r.PathValue("name"))
	}
	return nil, a.o.Peers.Forget(r.Context(), network)
}

// Pausing is a POST.
type Pausing struct {
	Reason string `json:"reason,omitempty"`
}

func (a *API) pauseAccount(r *http.Request) (any, error) {
	body, err := decode[Pausing](r)
	if err != nil {
		return nil, err
	}
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	if body.Reason == "" {
		body.Reason = "an administrator has done so"
	}
	return nil, a.o.Sender.Pause(r.Context(), time.Now(), account, body.Reason)
}

func (a *API) resumeAccount(r *http.Request) (any, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	err = a.o.Sender.Resume(r.Context(), time.Now(), account)
	if errors.Is(err, peers.ErrNotPaused) {
		return nil, problemf(http.StatusConflict, "sending is not paused for %s", account.Address)
	}
	return nil, err
}

// pausedFor gives why an account may not send; empty if it may.
func (a *API) pausedFor(id mail.AccountID) string {
	if a.o.Peers == nil {
		return ""
	}
	p, _ := a.o.Peers.Paused(id)
	return p.Reason
}

// Peers lists hosts and networks that have been seen, or those that something
// has been said of.
func (c *Client) Peers(ctx context.Context, rules bool) iter.Seq2[Peer, error] {
	query := url.Values{}
	if rules {
		query.Set("rules", "true")
	}
	return list[Peer](ctx, c, "/v1/peers", query)
}

// Peer gives what is known of an address, network or domain.
func (c *Client) Peer(ctx context.Context, name string) (Peer, error) {
	return call[Peer](ctx, c, http.MethodGet, "/v1/peers/"+url.PathEscape(name), nil)
}

// SetPeerRule allows or blocks a peer.
func (c *Client) SetPeerRule(ctx context.Context, name string, rule NewPeerRule) (PeerRule, error) {
	return call[PeerRule](ctx, c, http.MethodPut, "/v1/peers/"+url.PathEscape(name), rule)
}

// ForgetPeer forgets what is known and said of a peer.
func (c *Client) ForgetPeer(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/peers/"+url.PathEscape(name), nil, nil)
}

// PauseAccount keeps an account from sending until ResumeAccount.
func (c *Client) PauseAccount(ctx context.Context, address, reason string) error {
	return c.do(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(address)+"/pause", Pausing{Reason: reason}, nil)
}

// ResumeAccount ends PauseAccount.
func (c *Client) ResumeAccount(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(address)+"/resume", nil, nil)
}
