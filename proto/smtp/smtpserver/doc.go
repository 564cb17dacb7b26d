// Package smtpserver is the server side of SMTP as a machine: connections,
// order of commands, limits and time-outs. What is accepted, from whom and to
// whom, is asked of a Session, which a door of the house hands in.
//
// It speaks RFC 5321 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8,
// ENHANCEDSTATUSCODES, STARTTLS, AUTH, CHUNKING, BINARYMIME and LIMITS, with
// LMTP, XCLIENT and BURL where the options say so, and with the extensions
// that the Session honours (DSN, DELIVERBY, MT-PRIORITY, FUTURERELEASE,
// REQUIRETLS, NO-SOLICITING). The words come from proto/smtp. Storage, policy, DNS and configuration are left
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
//   - Each command line has exactly one reply; DATA has two. (With LMTP the
//     end of a message has one for each recipient.)
//   - What BDAT announces is read whole, or the connection ends: no octet of
//     a message is ever taken for a command.
//   - One goroutine serves a connection; Session methods are called from it,
//     one at a time.
package smtpserver
