// Package imapserver is the machine of an IMAP server: connections, states,
// and each command as RFC 9051 (IMAP4rev2) and RFC 3501 (IMAP4rev1) want it,
// with the extensions that package imap lists. What a mailbox is it learns
// from an Account, which the door hands in.
//
// What a connection does, in order:
//
//	octets -> reader (lines, literals, limits) -> imap.Parse -> a row of
//	commands (states, what it may report) -> the command's method, which
//	calls the Account and writes responses -> news of the selected mailbox
//	-> the tagged response
//
// Invariants that no type can hold:
//
//   - A session's view of its mailbox (view.told) changes only in view.go,
//     and only together with the responses that tell the client so. Sequence
//     numbers always mean that view. RFC 9051 §7.5.1
//   - Responses leave when no more input is waiting: every read that would
//     block flushes first.
//   - One goroutine runs a connection and writes to it. Others read ahead for
//     a FETCH (batch.go) or a SEARCH (looker.go), decompress what comes
//     (compress.go), or wait for news of other mailboxes (idle.go); who has
//     started one waits for it, and a panic in it ends the connection alone.
package imapserver
