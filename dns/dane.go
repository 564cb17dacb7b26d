package dns

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
)

// A DANE is what the DNS says of a mail host: where it is, and which
// certificates it has if that is proven.
type DANE struct {
	Addrs []netip.Addr
	// TLSA are the proven records; none means that DANE says nothing of the
	// host. They may all be unusable, which still demands TLS. RFC 7672 §2.2
	TLSA []TLSA
	// Base is the name that the records belong to, and which a certificate may
	// have: the host's own, or the one that it is an alias of. RFC 7672 §3.2.2
	Base string
	// Result is that of the TLSA records, or of the addresses if those were
	// not secure, so that the records were not looked for.
	Result Result
}

// LookupDANE looks up a host's addresses, and its TLSA records if the chain
// that leads to them is secure. The name of the host must come from a secure
// MX lookup for the records to mean anything; that is for the caller to see.
//
// An error that wraps ErrTemporary, also of the TLSA records alone, means that
// the host must not be used for now: somebody may be keeping the records from
// us. RFC 7672 §2.1.1, §2.2.2
func LookupDANE(ctx context.Context, r Resolver, host string, port uint16) (DANE, error) {
	addrs, result, err := r.LookupAddr(ctx, host)
	if err != nil {
		return DANE{Result: result}, err
	}
	d := DANE{Addrs: addrs, Result: result}
	host = hostName(host)
	// The name at the end of secure aliases comes first, then the host's own.
	// RFC 7672 §2.2.2
	var bases []string
	if result.Security == Secure && result.Name != "" && result.Name != host {
		bases = append(bases, result.Name)
	}
	if result.Asked == Secure {
		bases = append(bases, host)
	}
	for _, base := range bases {
		records, result, err := r.LookupTLSA(ctx, "_"+strconv.Itoa(int(port))+"._tcp."+base)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return d, err
		case result.Security == Secure && len(records) > 0:
			d.TLSA, d.Base, d.Result = records, base, result
			return d, nil
		}
	}
	return d, nil
}
