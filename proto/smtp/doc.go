// Package smtp holds the words and the grammar of SMTP: commands and replies
// as values, the parsers that make them from bytes, and the transparency of
// message data. It has no connection and no state; smtpserver and smtpclient
// are the two machines that speak with these words.
//
// RFC 5321 is the base. The extensions whose words are known here:
// SIZE (RFC 1870), PIPELINING (RFC 2920), ENHANCEDSTATUSCODES (RFC 2034, codes
// of RFC 3463), STARTTLS (RFC 3207), DSN (RFC 3461, RFC 6533), AUTH (RFC 4954),
// 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), CHUNKING and BINARYMIME (RFC 3030),
// DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710), FUTURERELEASE (RFC 4865),
// REQUIRETLS (RFC 8689), LIMITS (RFC 9422), NO-SOLICITING (RFC 3865), BURL
// (RFC 4468), LMTP (RFC 2033) and Postfix's XCLIENT.
//
// A command is one row in the table of parse.go; a parameter of MAIL or RCPT
// is one row in the tables of params.go. An extension is a row and a file.
package smtp
