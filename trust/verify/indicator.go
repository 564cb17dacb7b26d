package verify

import (
	"context"
	"slices"
	"strings"

	"waxwing/trust/bimi"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
)

// indicator looks up what the author's domain wants shown beside its mail. Only
// whoever is proven to be the author is asked, and only if the domain lets
// nobody else write in its name: otherwise a picture would help forgers.
func (v *Verifier) indicator(ctx context.Context, f Findings, header *dkim.Header) bimi.Verdict {
	skipped := func(why string) bimi.Verdict { return bimi.Verdict{Result: bimi.Skipped, Problem: why} }
	switch {
	case f.DMARC.Result != dmarc.Pass:
		return bimi.Verdict{}
	case !strict(f.DMARC.Record) || f.DMARC.Wanted == dmarc.None:
		return skipped("the DMARC policy is not strict")
	}
	organization, err := v.records.Organization(ctx, v.resolver, f.DMARC.Author)
	switch {
	case err != nil:
		return bimi.Verdict{Result: bimi.TempError, Problem: err.Error()}
	case organization.Domain != f.DMARC.Domain && !(organization.HasRecord && strict(organization.Record)):
		return skipped("the DMARC policy of " + organization.Domain + " is not strict")
	}
	selector, err := selector(f, header, organization.Domain)
	if err != nil {
		return bimi.Verdict{Result: bimi.Fail, Problem: err.Error()}
	}
	return bimi.Look(ctx, v.resolver, f.DMARC.Author, organization.Domain, selector)
}

// strict tells whether a policy lets no forged mail be delivered as if it were
// none, for all that lies below the domain too.
func strict(r dmarc.Record) bool {
	return r.Policy != dmarc.None && r.Subdomains != dmarc.None && !r.Testing
}

// selector gives the one that the message names, if the author's organization
// has signed that; anybody on the way could have added it else.
func selector(f Findings, header *dkim.Header, organization string) (string, error) {
	fields := header.Named("bimi-selector")
	signed := slices.ContainsFunc(f.DKIM, func(r dkim.Result) bool {
		return r.Status == dkim.Pass && slices.Contains(r.Headers, "bimi-selector") &&
			(r.Domain == organization || strings.HasSuffix(r.Domain, "."+organization))
	})
	if len(fields) != 1 || !signed {
		return bimi.DefaultSelector, nil
	}
	return bimi.ParseSelector(string(dkim.Value(fields[0])))
}
