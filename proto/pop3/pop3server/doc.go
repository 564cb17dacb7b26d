// Package pop3server is the server side of POP3 as a machine: connections,
// states, the order of commands, limits and time-outs. Who a user is, is asked
// of a sasl.Backend; what a maildrop holds, of a Session, which a door of the
// house hands in. The words come from proto/pop3.
//
// It speaks RFC 1939 without APOP, CAPA with PIPELINING and RESP-CODES
// (RFC 2449), SYS and AUTH response codes (RFC 3206), STLS (RFC 2595), implicit
// TLS (RFC 8314), AUTH (RFC 5034), UTF8 and LANG (RFC 6856).
//
//	line -> pop3.Parse -> Command -> refuse (pure) -> run -> Session
//
// A command is one row in the table of commands.go.
//
// Invariants:
//
//   - Only CR LF ends a line.
//   - Nothing that was read before a TLS handshake is used after it.
//   - Responses are flushed whenever the machine waits for input, and not
//     before: a client that pipelines gets its answers in few packets.
//   - Messages are deleted by QUIT alone; +OK to it is sent after they are.
//   - One goroutine serves a connection; Session methods are called from it.
//   - An idle connection holds no buffer but one of 512 octets.
package pop3server
