// Package abstract says what of a message is searched, sorted and threaded by.
//
// A Row is what a message looks like in a list: its subject, who wrote it to
// whom, when, and which messages it answers, folded so that it can be compared
// (package casemap). Rows are small and hold no pointers: a few hundred octets
// for a message, tens of thousands to be gone through in a millisecond.
//
// Header and Body give the text of a message as SEARCH means it: the fields of
// the header and the text parts, decoded to UTF-8 and folded, piece by piece.
// Whoever looks for a string in a message, and whoever builds an index so that
// it need not be looked for, goes through the same octets.
//
// Standards: RFC 9051 §6.4.4 (what is searched), RFC 5256 (sorting and
// threading), RFC 5957 (display names), RFC 5051 (comparison).
package abstract
