// Package mbox reads and writes mbox files: many messages in one file, each
// after a line that begins with "From ". It is the oldest format of stored mail
// and the least agreed upon; what is met:
//
//	mboxrd   a line of a body that would look like the start of a message has
//	         ">" put before it, and so has one that has such a ">" already
//	mboxo    the same, but only "From " is quoted, and not ">From "
//	mboxcl   mboxo with a Content-Length field that says where the body ends
//	mboxcl2  Content-Length alone, nothing is quoted
//
// Flags lie in header fields that mail programs add: Status, X-Status and
// X-Keywords (mutt, Dovecot, UW-IMAP), X-Mozilla-Status (Thunderbird),
// X-Gmail-Labels (Google Takeout). A Reader understands them and takes them out
// of the message.
//
// Lines end in LF in the file and in CRLF in messages. A Writer says with a
// field of its own, X-Waxwing-Mbox, what the format cannot: how many fields are
// not the message's, and that a message has other line ends. So a message comes
// back octet for octet.
//
// Standards: RFC 4155 (the default format), the mbox(5) manual of qmail for the
// names of the others.
package mbox
