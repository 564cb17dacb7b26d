// Package message turns the bytes of a message into values and back: header
// fields, the MIME tree with offsets, envelopes, encoded words, dates,
// addresses; and builds new messages.
//
// Parsing never fails: mail in the wild is malformed, and what is wrong with
// it is listed as defects. It is one streaming pass in bounded memory.
//
// Standards: RFC 5322 and 6532 (header), RFC 2045-2049 (MIME), RFC 2047
// (encoded words), RFC 2183 (disposition), RFC 2231 (parameters).
package message
