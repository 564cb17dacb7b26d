// Package dnssec judges signed DNS data. It is pure: it sends nothing, waits
// for nothing, and takes the time as an argument; dns/recursor fetches what it
// asks for.
//
// From a trust anchor (Anchors) to an answer it goes by three steps:
//
//	DS set or anchor ──Check.Keys──▶ Keys of a zone
//	Keys + signed records ──Check.Verify──▶ Proof (perhaps of a wildcard)
//	Keys + NSEC or NSEC3 records ──Check.Denials──▶ what does not exist
//
// Every step ends in a dns.Finding: secure, insecure or bogus, with the reason
// in words and the code of RFC 8914. Work is bounded (Work), so that records
// made to be costly end as bogus soon.
//
// The standards are RFC 4033, 4034 and 4035 with 6840, NSEC3 by RFC 5155 with
// the limits of RFC 9276, trust anchors kept current by RFC 5011.
package dnssec
