// Package smtpclient is the client side of SMTP, as a relay needs it: one
// connection, any number of transactions, and an exact account of what the
// peer has said to each recipient.
//
// It speaks RFC 5321 with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME
// (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461), STARTTLS (RFC 3207),
// AUTH (RFC 4954; PLAIN and LOGIN), CHUNKING and BINARYMIME (RFC 3030), LIMITS
// (RFC 9422), REQUIRETLS (RFC 8689), the parameters of RFC 2852, 3865, 4865
// and 6710, and LMTP (RFC 2033). Which host to call, whether its
// certificate is good enough, and when to try again is the caller's.
//
// Whatever the peer declines comes back as a *smtp.Refusal that holds the
// peer's words and, as its cause, an InReplyTo. Trouble with the connection
// comes back as a *Lost. Both know whether they are temporary.
//
// A Client is used by one goroutine at a time. A context that ends stops what
// is under way; the connection is of no use then.
package smtpclient
