// Package mtasts is MTA-STS (RFC 8461): domains say over HTTPS which hosts take
// their mail, and that these have certificates that hold, so that nobody on the
// way can keep TLS from us or put another host in their place.
//
//	record.go    the TXT record that says that there is a policy, and which
//	policy.go    the policy, and what it allows
//	fetch.go     getting it from its host
//	policies.go  finding a domain's policy, remembered for as long as it says
//	search.go    who waits for that, and how long
//	refresh.go   fetching what is remembered anew before it expires
//
// Whether a connection is as a policy wants it is for those to judge who make
// the connection.
package mtasts
