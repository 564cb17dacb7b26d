package message

// Limits on what a stranger's message can make grow. Beyond one the message is
// still parsed, offsets and sizes stay exact, and a Defect says what was left
// out. An encoded Message (AppendBinary) stays under 2 MiB in the worst case;
// ordinary mail takes some hundred octets.
const (
	maxFieldSize  = 64 << 10  // octets of one header field that are looked at
	maxHeaderSize = 512 << 10 // octets of one header that are looked at
	maxFields     = 10000     // fields that ParseHeader gives
	maxText       = 256 << 10 // octets of all strings kept of a message
	maxDepth      = 64        // open parts above a part; deeper ones are opaque
	maxParts      = 4096      // parts in a message; the last takes the rest
	maxParams     = 64        // parameters of one field
	maxAddresses  = 10000     // addresses in a message
	maxReferences = 100       // message ids kept of References
	maxDefects    = 32        // defects listed
	maxBoundary   = 256       // RFC 2046 §5.1.1 says 70; longer ones exist
	maxDelimiter  = 512       // octets of a line that are looked at for a delimiter
)

// What can be wrong with a message.
const (
	defectNoColon       = "header line without a colon"
	defectLongField     = "header field too long, rest ignored"
	defectLongHeader    = "header too long, rest ignored"
	defectNoHeaderEnd   = "no empty line between header and first delimiter"
	defectDuplicate     = "header field that must be alone is repeated"
	defectText          = "too much text in header fields, rest ignored"
	defectAddresses     = "too many addresses, rest ignored"
	defectDate          = "date cannot be read"
	defectContentType   = "content type cannot be read"
	defectNoBoundary    = "multipart without a usable boundary"
	defectNoDelimiter   = "closing delimiter is missing"
	defectNoParts       = "multipart without parts"
	defectDepth         = "parts nested too deep, not looked into"
	defectParts         = "too many parts, the last takes the rest"
	defectEncodedParts  = "multipart with a transfer encoding"
	defectEncodedInside = "message with a transfer encoding, not looked into"
)
