// Package trace remembers what became of messages and why: each step of a
// message's way, from the connection that it came by to the mailbox or the
// host that it went to, so that an operator can ask for it by id, address,
// peer or time ("waxwing trace").
//
// It is a memory aid and not a record of account: a step is written some
// moments after it was taken, and no acknowledgement waits for it.
package trace
