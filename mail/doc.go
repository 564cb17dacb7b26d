// Package mail holds the words that every room of Waxwing speaks, as types:
// addresses, envelopes, and the identifiers of accounts, mailboxes and
// messages. It imports nothing of the project and does no I/O.
//
// Grammar and meaning follow RFC 5321 (addresses in SMTP), RFC 6531 (the same
// with UTF-8), RFC 3501/9051 (UIDs, flags), RFC 6154 (roles) and RFC 8474
// (object identifiers).
package mail
