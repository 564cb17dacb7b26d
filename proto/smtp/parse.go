package smtp

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of what a client may send as one line, without CR LF.
const (
	// MaxLine is the limit of a command. RFC 5321 §4.5.3.1.4 asks for 512
	// octets; the parameters of RFC 1870, 2852, 3030, 3461, 3865, 4865, 4954,
	// 6152, 6531, 6710 and 8689 ask for 2200 more.
	MaxLine = 3000
	// MaxAuthLine is the limit of AUTH and of the lines of its exchange.
	// RFC 4954 §4
	MaxAuthLine = 12288
)

// Parse reads one command line, given without its CR LF. The error is a
// *Refusal that can be said to the client. What is given back does not share
// memory with line.
func Parse(line []byte) (Command, error) {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, refuseControl(c)
		}
	}
	if !utf8.Valid(line) {
		return nil, syntaxError("Line is not valid UTF-8") // RFC 6531 §3.7.1
	}
	// Trailing white space is tolerated. RFC 5321 §4.1.1
	s := strings.TrimRight(string(line), " \t")
	verb, args := s, ""
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		verb, args = s[:i], strings.TrimLeft(s[i:], " \t")
	}
	parse, known := verbs[strings.ToUpper(verb)]
	if !known {
		return nil, syntaxError("Command not recognised")
	}
	cmd, err := parse(args)
	if err != nil {
		return nil, err
	}
	return cmd, nil
}

// verbs is the table of commands: what follows the verb goes in, without
// white space around it.
var verbs = map[string]func(args string) (Command, error){
	"EHLO":     func(args string) (Command, error) { return parseHello(args, Hello{Extended: true}) },
	"HELO":     func(args string) (Command, error) { return parseHello(args, Hello{}) },
	"LHLO":     func(args string) (Command, error) { return parseHello(args, Hello{Extended: true, Local: true}) },
	"MAIL":     parseMail,
	"RCPT":     parseRcpt,
	"DATA":     bare(Data{}),
	"BDAT":     parseBDAT,
	"BURL":     parseBURL,
	"XCLIENT":  parseXCLIENT,
	"RSET":     bare(Reset{}),
	"QUIT":     bare(Quit{}),
	"STARTTLS": bare(StartTLS{}), // no parameters, RFC 3207 §4
	"NOOP":     func(string) (Command, error) { return Noop{}, nil },
	"HELP":     func(args string) (Command, error) { return Help{Topic: args}, nil },
	"VRFY":     parseVerify,
	"EXPN":     parseExpand,
	"AUTH":     parseAuth,
	"SEND":     obsolete, // RFC 5321 §F.6
	"SOML":     obsolete,
	"SAML":     obsolete,
	"TURN":     turn("TURN"), // RFC 5321 §F.1
	"ETRN":     turn("ETRN"), // RFC 1985
	"ATRN":     turn("ATRN"), // RFC 2645
}

func turn(name string) func(string) (Command, error) {
	return func(string) (Command, error) { return Turn{Name: name}, nil }
}

// Verbs tells which verbs Parse knows and does not refuse outright, in the
// order of RFC 5321 §4.1.1, for HELP.
func Verbs() []string {
	return []string{"EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS", "AUTH"}
}

func bare(c Command) func(string) (Command, error) {
	return func(args string) (Command, error) {
		if args != "" {
			return nil, argumentError("Command takes no argument") // RFC 5321 §4.3.2
		}
		return c, nil
	}
}

func parseVerify(args string) (Command, error) {
	who, utf8, err := parseString(args)
	return Verify{Who: who, UTF8: utf8}, err
}

func parseExpand(args string) (Command, error) {
	list, utf8, err := parseString(args)
	return Expand{List: list, UTF8: utf8}, err
}

// parseString reads what VRFY and EXPN ask for. RFC 6531 §3.7.4.2:
// String [ SP "SMTPUTF8" ]
func parseString(args string) (s string, utf8 bool, err error) {
	if args == "" {
		return "", false, argumentError("Command needs an argument")
	}
	if i := strings.LastIndexAny(args, " \t"); i > 0 && strings.EqualFold(args[i+1:], "SMTPUTF8") {
		return strings.TrimRight(args[:i], " \t"), true, nil
	}
	return args, false, nil
}

func obsolete(string) (Command, error) {
	// Recognised and not implemented. RFC 5321 §4.2.4
	return nil, &Refusal{Code: 502, Enhanced: Enhanced{5, 5, 1}, Text: "Command not implemented"}
}

// parseHello takes any name that a host could call itself, and address
// literals. That the name is right is not this room's business: a server must
// not refuse a message because it is not (RFC 5321 §4.1.4).
func parseHello(args string, h Hello) (Command, error) {
	switch {
	case args == "":
		return nil, argumentError("Say who you are")
	case len(args) > 255:
		return nil, argumentError("Name is too long") // RFC 5321 §4.5.3.1.2
	}
	for i := 0; i < len(args); i++ {
		// U-labels are not allowed here. RFC 6531 §3.7.1
		if c := args[i]; c <= ' ' || c >= utf8.RuneSelf {
			return nil, argumentError("Name is malformed")
		}
	}
	h.Name = args
	return h, nil
}

func parseAuth(args string) (Command, error) {
	mechanism, initial, _ := strings.Cut(args, " ")
	if mechanism == "" || len(mechanism) > 20 { // RFC 4422 §3.1
		return nil, argumentError("Name a mechanism")
	}
	if strings.ContainsAny(initial, " \t") {
		return nil, argumentError("Too many arguments")
	}
	return Auth{Mechanism: strings.ToUpper(mechanism), Initial: initial}, nil
}

func parseMail(args string) (Command, error) {
	rest, ok := cutFold(args, "FROM:")
	if !ok {
		return nil, argumentError("Syntax: MAIL FROM:<address>")
	}
	from, rest, err := parsePath(rest, true)
	if err != nil {
		// RFC 3463 §3.2: bad sender's mailbox address syntax
		return nil, &Refusal{Code: 501, Enhanced: Enhanced{5, 1, 7}, Text: "Bad sender address: " + err.Error(), Err: asSaid(args)}
	}
	m := Mail{From: from}
	if err := parseParameters(rest, mailParameters, &m, &m.Uses); err != nil {
		return nil, err
	}
	return m, nil
}

func parseRcpt(args string) (Command, error) {
	rest, ok := cutFold(args, "TO:")
	if !ok {
		return nil, argumentError("Syntax: RCPT TO:<address>")
	}
	to, rest, err := parsePath(rest, false)
	if err != nil {
		// RFC 3463 §3.2: bad destination mailbox address syntax
		return nil, &Refusal{Code: 501, Enhanced: Enhanced{5, 1, 3}, Text: "Bad recipient address: " + err.Error(), Err: asSaid(args)}
	}
	r := Rcpt{To: to}
	if err := parseParameters(rest, rcptParameters, &r, &r.Uses); err != nil {
		return nil, err
	}
	return r, nil
}

// asSaid is what was said where an address was expected, for the log: somebody
// will ask what was wrong with it.
func asSaid(args string) error { return fmt.Errorf("%.200q", args) }

// cutFold cuts a prefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func syntaxError(text string) *Refusal {
	return &Refusal{Code: 500, Enhanced: Enhanced{5, 5, 2}, Text: text}
}

func argumentError(text string) *Refusal {
	return &Refusal{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: text}
}

func refuseControl(c byte) *Refusal {
	switch c {
	case '\n':
		return syntaxError("Bare LF received; a line ends with CR LF") // RFC 5321 §2.3.8
	case '\r':
		return syntaxError("Bare CR received; a line ends with CR LF") // RFC 5321 §2.3.8
	}
	return syntaxError("Control character in command")
}
