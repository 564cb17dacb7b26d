package pop3

// A Keyword names a command, in upper case.
type Keyword string

// The commands.
const (
	User Keyword = "USER" // RFC 1939 §7
	Pass Keyword = "PASS" // RFC 1939 §7
	Apop Keyword = "APOP" // RFC 1939 §7
	Auth Keyword = "AUTH" // RFC 5034 §4
	Stls Keyword = "STLS" // RFC 2595 §4
	Capa Keyword = "CAPA" // RFC 2449 §5
	Utf8 Keyword = "UTF8" // RFC 6856 §2.1
	Lang Keyword = "LANG" // RFC 6856 §3
	Stat Keyword = "STAT" // RFC 1939 §5
	List Keyword = "LIST" // RFC 1939 §5
	Uidl Keyword = "UIDL" // RFC 1939 §7
	Retr Keyword = "RETR" // RFC 1939 §5
	Top  Keyword = "TOP"  // RFC 1939 §7
	Dele Keyword = "DELE" // RFC 1939 §5
	Rset Keyword = "RSET" // RFC 1939 §5
	Noop Keyword = "NOOP" // RFC 1939 §5
	Quit Keyword = "QUIT" // RFC 1939 §5, §6
)

// A Command is one line of the client. Which fields are set depends on the
// keyword.
type Command struct {
	Keyword Keyword

	// Message is the message-number of RETR, DELE, TOP, and of LIST and UIDL
	// where Single is set. It is not negative; 0 is the number of no message.
	Message int
	// Single says that LIST or UIDL asks about one message.
	Single bool
	// Lines is how many lines of the body TOP asks for.
	Lines int

	// Text is the name of USER, the password of PASS, the mechanism of AUTH
	// (upper case, empty for the bare AUTH that asks for a list) or the
	// language range of LANG (empty to ask for a list).
	Text string
	// Initial is the second argument of AUTH as it came. RFC 5034 §4
	Initial string
}

// MaxLine is the longest command, with its CRLF, apart from AUTH, whose
// initial response may be longer than the standard wants to see.
// RFC 2449 §4
const MaxLine = 255
