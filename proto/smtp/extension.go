package smtp

// Extensions is a set of service extensions. RFC 5321 §2.2
type Extensions uint32

// The extensions whose words this package knows.
const (
	Pipelining    Extensions = 1 << iota // RFC 2920
	Size                                 // RFC 1870
	EightBitMIME                         // RFC 6152
	SMTPUTF8                             // RFC 6531
	EnhancedCodes                        // RFC 2034
	STARTTLS                             // RFC 3207
	AUTH                                 // RFC 4954
	DSN                                  // RFC 3461
	Chunking                             // RFC 3030 §2
	BinaryMIME                           // RFC 3030 §3
	DeliverBy                            // RFC 2852
	MTPriority                           // RFC 6710
	FutureRelease                        // RFC 4865
	RequireTLS                           // RFC 8689
	Limits                               // RFC 9422
	NoSoliciting                         // RFC 3865
	BURL                                 // RFC 4468
	XCLIENT                              // Postfix, XCLIENT_README
	XVERP                                // Postfix, VERP_README
)

// Has tells whether every extension of o is in e.
func (e Extensions) Has(o Extensions) bool { return e&o == o }

// Keywords gives the EHLO keyword of each extension, in the order in which
// they are offered. RFC 5321 §4.1.1.1
var keywords = [...]struct {
	Extension Extensions
	Keyword   string
}{
	{Pipelining, "PIPELINING"},
	{Size, "SIZE"},
	{EightBitMIME, "8BITMIME"},
	{SMTPUTF8, "SMTPUTF8"},
	{Chunking, "CHUNKING"},
	{BinaryMIME, "BINARYMIME"},
	{DeliverBy, "DELIVERBY"},
	{MTPriority, "MT-PRIORITY"},
	{FutureRelease, "FUTURERELEASE"},
	{RequireTLS, "REQUIRETLS"},
	{Limits, "LIMITS"},
	{NoSoliciting, "NO-SOLICITING"},
	{BURL, "BURL"},
	{XCLIENT, "XCLIENT"},
	{XVERP, "XVERP"},
	{EnhancedCodes, "ENHANCEDSTATUSCODES"},
	{STARTTLS, "STARTTLS"},
	{AUTH, "AUTH"},
	{DSN, "DSN"},
}

// Keyword gives the EHLO keyword of one extension.
func (e Extensions) Keyword() string {
	for _, k := range keywords {
		if k.Extension == e {
			return k.Keyword
		}
	}
	return ""
}

// Each calls fn for every extension in the set, in the order in which a
// server offers them.
func (e Extensions) Each(fn func(one Extensions, keyword string)) {
	for _, k := range keywords {
		if e.Has(k.Extension) {
			fn(k.Extension, k.Keyword)
		}
	}
}

// ExtensionNamed finds the extension of an EHLO keyword in capitals; zero when
// it is not known here.
func ExtensionNamed(keyword string) Extensions {
	for _, k := range keywords {
		if k.Keyword == keyword {
			return k.Extension
		}
	}
	return 0
}
