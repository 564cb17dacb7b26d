package app

import (
	"strings"

	"waxwing/app/config"
	"waxwing/dns"
	"waxwing/flow/relay"
	"waxwing/store/stspolicies"
	"waxwing/trust/mtasts"
)

// openPolicies makes what finds the MTA-STS policies of other domains, and keeps
// them fresh.
func (a *App) openPolicies(r dns.Resolver) *mtasts.Policies {
	fetcher := mtasts.NewFetcher(r, mtasts.FetchOptions{})
	policies := mtasts.New(r, fetcher.Fetch, stspolicies.New(a.stores.db), a.log)
	a.workers = append(a.workers, worker{"MTA-STS policies", policies.Run})
	return policies
}

// transportOf reads how mail to some domains is protected.
func transportOf(list []config.Transport) ([]relay.Transport, error) {
	var all []relay.Transport
	for _, c := range list {
		t := relay.Transport{Domain: strings.ToLower(c.Domain), Level: relay.Level(c.TLS), Names: c.Names}
		for _, text := range c.Fingerprints {
			f, err := relay.ParseFingerprint(text)
			if err != nil {
				return nil, err
			}
			t.Fingerprints = append(t.Fingerprints, f)
		}
		all = append(all, t)
	}
	return all, nil
}
