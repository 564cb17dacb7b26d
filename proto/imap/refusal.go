package imap

// The response codes that stand alone. RFC 9051 §7.1, RFC 5530
const (
	CodeAlert                = "ALERT"
	CodeAlreadyExists        = "ALREADYEXISTS"
	CodeAuthenticationFailed = "AUTHENTICATIONFAILED"
	CodeAuthorizationFailed  = "AUTHORIZATIONFAILED"
	CodeBadCharset           = "BADCHARSET"
	CodeCannot               = "CANNOT"
	CodeClientBug            = "CLIENTBUG"
	CodeContactAdmin         = "CONTACTADMIN"
	CodeClosed               = "CLOSED"
	CodeCorruption           = "CORRUPTION"
	CodeExpungeIssued        = "EXPUNGEISSUED"
	CodeHasChildren          = "HASCHILDREN"
	CodeInUse                = "INUSE"
	CodeLimit                = "LIMIT"
	CodeNonexistent          = "NONEXISTENT"
	CodeNoPerm               = "NOPERM"
	CodeNotSaved             = "NOTSAVED"
	CodeOverQuota            = "OVERQUOTA"
	CodeParse                = "PARSE"
	CodePrivacyRequired      = "PRIVACYREQUIRED"
	CodeReadOnly             = "READ-ONLY"
	CodeReadWrite            = "READ-WRITE"
	CodeServerBug            = "SERVERBUG"
	CodeTooBig               = "TOOBIG" // RFC 7889 §4, RFC 4469 §4.2
	CodeTryCreate            = "TRYCREATE"
	CodeUnavailable          = "UNAVAILABLE"
	CodeUnknownCTE           = "UNKNOWN-CTE"
	CodeUseAttr              = "USEATTR" // RFC 6154 §6
)

// A Refusal is a NO that answers a command. Errors of another type are server
// trouble: the client is told to try later, and the log what it was.
type Refusal struct {
	Code string // a response code, empty for none
	Text string // for the client: says nothing about our insides
	Err  error  // for our log
}

func (r *Refusal) Error() string {
	s := "NO"
	if r.Code != "" {
		s += " [" + r.Code + "]"
	}
	s += " " + r.Text
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

func (r *Refusal) Unwrap() error { return r.Err }
