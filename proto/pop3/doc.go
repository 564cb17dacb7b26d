// Package pop3 holds the words of POP3 (RFC 1939) and its extensions: CAPA and
// response codes (RFC 2449, RFC 3206), STLS (RFC 2595), AUTH (RFC 5034), UTF8
// and LANG (RFC 6856). Parse turns a line into a Command; Refusal and Phrase
// are what a server answers, in the languages that it knows.
//
// It has no connection and no state; package pop3server has both. APOP is
// known only so that it can be declined by name: it wants passwords stored so
// that the server can read them.
package pop3
