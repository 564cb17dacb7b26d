// Package dane authenticates mail hosts by what their domains have published in
// TLSA records: DANE (RFC 6698, RFC 7671) as it is used between mail servers
// (RFC 7672). It compares and verifies, and looks nothing up: the records must
// have come proven by DNSSEC (dns.LookupDANE).
//
//	usage     2 the chain leads to an authority that is named (DANE-TA)
//	          3 the host's own certificate is named (DANE-EE)
//	selector  0 the whole certificate, 1 its public key
//	matching  0 the octets themselves, 1 their SHA-256, 2 their SHA-512
//
// Usages 0 and 1, which add the public authorities to it, are not usable between
// mail servers. RFC 7672 §3.1.3
package dane
