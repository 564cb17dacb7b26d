// Package recursor is a DNS resolver: it finds answers out by itself, from the
// root servers down, or through recursive servers that it is given, and
// validates them either way (dns/dnssec).
//
// A question takes this way:
//
//	Resolve        the cache of answers; equal questions share one flight
//	  iterate      from the closest known zone down, one label at a time
//	               (delegation.go, iterate.go), to one answer of one zone
//	    ask        one of the zone's servers, with time-outs (ask.go, hosts.go)
//	    read       what the answer may say, and nothing else (response.go)
//	  links        the answer, cut at its aliases (link.go)
//	  judge        each link by its zone's keys (judge.go)
//	    trust      the keys, through DS and DNSKEY records from an anchor (trust.go)
//
// All that is spent on one question, however its answers are made, is counted
// in its task: exchanges, servers' names looked up, signatures verified. What
// a server says counts only for names in the zone that it was asked for.
//
// The standards: RFC 1034 and 1035 with 2181, 2308 (negative answers), 5452
// (forged answers), 6891 (EDNS), 7766 (TCP), 7873 (cookies), 8020, 8767 (stale
// answers), 9156 (minimised names), 9520 (failures), 9609 (priming).
package recursor
