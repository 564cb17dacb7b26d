package house

import (
	"time"

	"waxwing/dns/dnstest"
)

// Sign makes keys for the domain example.test, has them sign, and gives the
// zone in which others find them.
func (h *House) Sign() dnstest.Zone {
	h.tb.Helper()
	zone := dnstest.Zone{TXT: map[string][]string{}}
	now := time.Now()
	keys, err := h.Keys.Add(ctx(h.tb), now, "example.test")
	if err != nil {
		h.tb.Fatal(err)
	}
	for _, k := range keys {
		zone.TXT[k.Name()] = []string{k.Record}
		if err := h.Keys.Use(ctx(h.tb), now, k.Domain, k.Selector); err != nil {
			h.tb.Fatal(err)
		}
	}
	return zone
}
