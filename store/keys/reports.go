package keys

// Prefixes in the partition of reports, all of store/reports.
const (
	ReportTotal  = 't' // kind, day -> how many domains and rows there are; nothing -> octets of what is kept
	ReportDomain = 'd' // kind, day, domain -> how many rows it has, and what is said of it
	ReportRow    = 'r' // kind, day, hash of domain, hash of row -> how often, and the row
	ReportSent   = 's' // kind, day, domain -> when sending began, when it was done, and what came of it
	ReportLease  = 'l' // name -> whose turn it is, and until when
	ReportMail   = 'm' // number, part -> mail to be read: its envelope is part 0
	ReportKept   = 'k' // kind, time, hash of identity, part -> a report that was read
	ReportKnown  = 'u' // kind, hash of identity -> when the report came
)
