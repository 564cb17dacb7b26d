// Package tlsrpt is about reports of TLS between mail servers: who reaches whom
// encrypted, by which policy, and what goes wrong. RFC 8460
//
//	session.go  what became of one attempt to reach a server: what is counted
//	record.go   the TXT record that asks for reports, and where they go
//	report.go   a day's report, as JSON and gzip
//	message.go  a report as a message, and how it is found in one
//	row.go      what is counted in a day, until the report is made
//	overview.go what many reports say, and what to do about it
//
// It sends and keeps nothing.
package tlsrpt
