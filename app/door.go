package app

import (
	"context"
	"log/slog"
	"strings"

	"waxwing/app/config"
	"waxwing/dns"
	"waxwing/flow/policy"
	"waxwing/obs"
	"waxwing/store/kv"
	"waxwing/store/peers"
	"waxwing/trust/dnsbl"
)

// doorRules gives the rules of the door and of sending, as the configuration
// has them. Machines that may speak for clients are trusted themselves.
func (a *App) doorRules() (policy.Rules, error) {
	c := a.config
	trusted, err := config.Networks(c.Door.Trusted)
	if err != nil {
		return policy.Rules{}, err
	}
	r := policy.Defaults()
	r.Trusted = append(trusted, a.proxies.xclient...)
	r.Connections, r.Messages, r.Recipients = c.Door.ConnectionsPerMinute, c.Door.MessagesPerHour, c.Door.RecipientsPerHour
	r.Guesses, r.MaxGuesses = c.Door.UnknownRecipients, c.Door.MaxUnknownRecipients
	r.GreetingDelay, r.ListScore = c.Door.GreetingDelay.Std(), c.Door.ListScore
	r.ReverseName, r.Hello = strictness(c.Door.ReverseName), strictness(c.Door.Hello)
	r.Greylist = map[string]policy.Greylist{
		config.GreySuspicious: policy.GreySuspicious, config.GreyStrangers: policy.GreyStrangers, config.GreyOff: policy.GreyOff,
	}[c.Door.Greylist]
	r.GreyDelay, r.GreyPasses = c.Door.GreylistDelay.Std(), c.Door.GreylistPasses
	r.Sending.Messages, r.Sending.Recipients = c.Sending.MessagesPerHour, c.Sending.RecipientsPerHour
	r.Sending.RecipientsADay, r.Sending.JumpFloor = c.Sending.RecipientsPerDay, c.Sending.SuddenRecipients
	r.Trust, err = trustRules(c.Trust)
	return r, err
}

// trustRules gives what follows from what is proven of mail.
func trustRules(c config.Trust) (policy.Trust, error) {
	unverified, err := config.Networks(c.Unverified)
	if err != nil {
		return policy.Trust{}, err
	}
	t := policy.Trust{
		Unverified: unverified, DMARC: heed(c.DMARC), Domains: map[string]policy.Heed{}, Sealers: c.Sealers,
		SPF: strictness(c.SPF), Defer: c.Unknown == config.UnknownDefer,
	}
	for _, o := range c.Domains {
		t.Domains[strings.ToLower(o.Domain)] = heed(o.DMARC)
	}
	return t, nil
}

func heed(s string) policy.Heed {
	return map[string]policy.Heed{
		config.DMARCOff: policy.HeedNot, config.DMARCJunk: policy.HeedJunk, config.DMARCEnforce: policy.HeedAll,
	}[s]
}

func strictness(s string) policy.Strictness {
	return map[string]policy.Strictness{
		config.DoorMark: policy.Mark, config.DoorIgnore: policy.Ignore, config.DoorRefuse: policy.Refuse,
	}[s]
}

// openLists gives the block and allow lists that are configured.
func openLists(c config.Door, resolver dns.Resolver, log *slog.Logger) (*dnsbl.Checker, error) {
	var lists []dnsbl.List
	for _, l := range c.Lists {
		codes, err := config.Codes(l.Codes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, dnsbl.List{Zone: l.Zone, Domains: l.Domains, Codes: codes, Weight: max(l.Weight, 1), Allow: l.Allow})
	}
	if lists == nil {
		return nil, nil
	}
	return dnsbl.New(resolver, lists, func(l dnsbl.List, why error) {
		log.Warn("a list in the DNS is not believed for now", obs.Domain, l.Zone, obs.Err, why)
	}), nil
}

// openPeers reads what is known of others.
func openPeers(db kv.Store, shared bool, log *slog.Logger) (*peers.Store, error) {
	return peers.Open(context.Background(), db, peers.Options{Shared: shared, Log: log})
}
