// Package packed is the form in which a body is stored compressed, or stored
// where nobody else keeps a checksum. Any part of it can be read without what
// comes before:
//
//	frames   the body in pieces of one size (the last is what is left), each a
//	         Zstandard frame (RFC 8878) of its own, or as it is where that
//	         is not larger
//	table    for each frame: u32 octets as stored, the top bit set if it is
//	         as it is; u32 CRC-32C of the octets as stored
//	footer   u64 octets of the body, u32 octets of a frame, u32 number of
//	         frames, u32 CRC-32C of table and footer to here, u8 version (1),
//	         "waxpack"
//
// Numbers are big-endian. The footer comes last, so that a body can be packed
// as it arrives, and so that one request for the end of an object in a remote
// store tells everything about it.
//
// The checksums here notice damage in the part that is read. Whether a body is
// the right one is told by its SHA-256, which is the business of the stores.
package packed
