// Package message turns the bytes of a message into values and back: header
// fields, the MIME tree with offsets, envelopes, encoded words, dates,
// addresses; and builds new messages.
//
// Parsing never fails: mail in the wild is malformed, and what is wrong with
// it is listed as defects. It is one streaming pass in bounded memory.
//
// Where to look:
//
//	a whole message        Parser, Parse -> Message (AppendBinary, Decode, Prepend)
//	a header's octets      Fields, ParseHeader, SplitHeader
//	a field's value        DecodeHeader, ParseAddressList, ParseDate, ParseMessageIDs, BaseSubject
//	a part's body          DecodeBody (transfer encoding), DecodeText (charset)
//	a new message          NewText, NewMultipart, NewAttachment, ... -> Builder; NewMessageID, FormatDate
//
// Delivery status notifications are format/dsn's, charsets format/charset's.
//
// Standards: RFC 5322 and 6532 (header), RFC 2045-2049 (MIME), RFC 2047
// (encoded words), RFC 2183 (disposition), RFC 2231 (parameters).
package message
