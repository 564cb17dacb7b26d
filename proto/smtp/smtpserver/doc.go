// Package smtpserver is the server side of SMTP as a machine: connections,
// order of commands, limits and time-outs. What is accepted, from whom and to
// whom, is asked of a Session, which a door of the house hands in.
//
// It speaks RFC 5321 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8,
// ENHANCEDSTATUSCODES, STARTTLS, AUTH and, where the options say so, DSN. The
// words come from proto/smtp. Storage, policy, DNS and configuration are left
// to others.
//
//	line -> smtp.Parse -> Command -> rules.check (pure) -> run -> Session
//
// A command is one row in the table of commands.go.
//
// Invariants:
//
//   - Only CR LF ends a line and only CR LF "." CR LF ends a message.
//   - Nothing that was read before a TLS handshake is used after it.
//   - A reply is flushed before the machine waits for input.
//   - Each command line has exactly one reply; DATA has two.
//   - One goroutine serves a connection; Session methods are called from it,
//     one at a time.
package smtpserver
