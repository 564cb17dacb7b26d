// Package report makes the reports that other domains ask for, and reads those
// that come to ours. RFC 9990 and RFC 9991 (DMARC), RFC 8460 (TLS)
//
//	post.go   a report as mail: signed, and into the outqueue
//	daily.go  when the reports of a day are sent: once, by one server, later if
//	          none was running
//	desk.go   mail to the addresses for reports: found, unpacked, handed to who
//	          reads such reports
//
// What a report says is for its readers and makers: a Source for those that we
// send, a Reader for those that we get. Nothing of this stands in the way of a
// message: what is counted about one is written later, and what comes is kept
// (store/reports) and read when there is time.
package report
