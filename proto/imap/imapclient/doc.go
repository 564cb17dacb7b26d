// Package imapclient is the client side of IMAP, as far as moving mail from and
// to a server needs it: it logs in, lists mailboxes, examines them (nothing
// is changed at the server by that) and fetches messages, in batches and as
// streams; and it makes mailboxes, appends messages and sets flags.
//
// The other server is a stranger: its lines, strings, nesting and number of
// answers are bounded, and so is the time that it may take. What it says beyond
// the grammar is taken where its meaning is plain.
//
// Both revisions are spoken, RFC 9051 and RFC 3501; with them,
// where they help, SASL-IR (RFC 4959),
// NAMESPACE (RFC 2342), LIST-EXTENDED (RFC 5258), SPECIAL-USE (RFC 6154),
// UTF8=ACCEPT (RFC 6855), COMPRESS (RFC 4978), LITERAL+ and LITERAL- (RFC 7888),
// MULTIAPPEND (RFC 3502), BINARY (RFC 3516) and Gmail's labels (X-GM-EXT-1).
// None is needed.
package imapclient
