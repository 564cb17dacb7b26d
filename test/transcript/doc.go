// Package transcript plays conversations that are written down as files
// against our servers, for the tests of every protocol.
//
// A file is a list of steps, one a line; the comment above a step says what
// it proves, with the section of the RFC:
//
//	# RFC 5321 §4.1.4: MAIL before HELO is out of order.
//	S: 220 mx.example *
//	C: MAIL FROM:<ann@a.example>
//	S: 503 5.5.1 *
//	# RFC 5321 §4.5.3.2.7: five idle minutes.
//	W: 5m1s
//	S: 421 4.4.2 *
//	S: <closed>
//
// # Steps
//
//	C: text      the client sends text and CRLF
//	R: text      the client sends text with no CRLF; \r \n \t \\ \0 \xHH stand
//	             for octets, \{N:text} for N times text (escapes in it too)
//	C: <close>   the client closes the connection
//	S: pattern   the next line from the server matches pattern
//	S: <closed>  the server has closed the connection, with nothing before it
//	S: <silence> the server has said nothing more
//	S: <lines>   any number of lines, up to the one that the next S: matches
//	U: tls       the client begins TLS (the certificate is not checked)
//	U: deflate   both sides compress from here on (RFC 1951)
//	W: 5m1s      time passes (virtual under Run, real under Play)
//	O: key text  an option for the set-up function; before the first step
//	# text       a comment; so are empty lines
//
// C:, R:, S: and U: speak of connection 1. 2C:, 2R:, 2S:, 2U: speak of
// connection 2, and so on; each is dialled when it is first spoken of.
//
// C: and R: steps that follow each other on one connection are sent in one
// write, as a client that pipelines does. W: 0s between two keeps them apart.
// One octet of white space after the colon belongs to the notation; all
// others belong to the text.
//
// # Patterns
//
// In S: lines * matches any text, also none. A * that begins the pattern and
// is followed by a space is the octet itself, because IMAP begins lines so.
//
// $name, beginning with a small letter (so that IMAP's $Junk is itself),
// matches one or more octets other than white space and keeps them; later
// the same name matches only what was kept, and stands for it in C: and R:
// lines. Names hold for the whole file, across connections. $$ is one $.
//
// A line of the server ends with CRLF. One that ends with LF alone is given
// to patterns with <LF> at its end, so that it does not pass by accident.
//
// # Time
//
// Run plays each file inside a bubble of testing/synctest, over net.Pipe:
// idle minutes take no time, and a test never depends on the speed of the
// machine. An S: step waits Patience at most; then the test fails and shows
// the dialog so far. When the last step is done nothing more may have come
// from the server.
package transcript
