// Package reports keeps what reports about mail are made of, and what others
// have reported to us.
//
//	tally.go   what is counted in a day for each domain that wants a report
//	days.go    the domains whose day is over; what was sent, so that nothing
//	           is sent twice
//	mail.go    mail with reports that waits to be read
//	kept.go    reports that were read
//	lease.go   whose turn it is, where several servers share the store
//
// It knows nothing of any format of reports: rows and reports are octets.
//
// Counting happens in memory and is written behind, in batches, so that no
// message waits for it: what a crash loses is some seconds of counting.
//
// Everything is bounded: the rows of a domain, the domains of a day, the mail
// that waits, the reports that are kept.
//
// The partition keys.Reports holds, each value behind a version octet (kind is
// an octet, days and times are four octets and eight):
//
//	t kind day                   -> domains(4) rows(4)
//	t                            -> octets(8) of all reports that are kept
//	d kind day domain            -> rows(4) lost(8) about
//	r kind day hash(16) hash(16) -> count(8) row
//	s kind day domain            -> CBOR of what was sent
//	l name                       -> CBOR of a lease
//	m number(8) part(2)          -> part 0: CBOR of the envelope; others: octets
//	k kind time(8) hash(16) part(2) -> part 0: CBOR of the head; others: octets
//	u kind hash(16)              -> time(8)
package reports
