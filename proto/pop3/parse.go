package pop3

import (
	"strings"
	"unicode/utf8"
)

// Parse reads a command line, which comes without its CRLF. The error is a
// *Refusal that says what is wrong with the line.
//
// Keywords are taken in any case (RFC 1939 §3). People type: spaces around
// arguments do not matter, except in PASS, where everything behind the first
// space is the password.
func Parse(line string) (Command, error) {
	for i := 0; i < len(line); i++ {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return Command{}, &Refusal{Phrase: ControlCharacter}
		}
	}
	word, rest, hasRest := strings.Cut(line, " ")
	a, known := grammar[upper(word)]
	if !known {
		return Command{}, &Refusal{Phrase: UnknownCommand}
	}
	c := Command{Keyword: upper(word)}
	if a == password {
		// A server may treat spaces as part of the password. RFC 1939 §7
		c.Text = rest
		if !hasRest {
			return Command{}, &Refusal{Phrase: MissingArgument}
		}
		return c, validText(rest)
	}
	if !c.take(a, strings.Fields(rest), rest) {
		return Command{}, &Refusal{Phrase: a.complaint()}
	}
	return c, validText(rest)
}

// An arguments says which arguments a command takes.
type arguments uint8

const (
	none arguments = iota
	name
	password
	mechanism
	oneWordOrNone
	number
	numberOrNone
	twoNumbers
	anything
)

var grammar = map[Keyword]arguments{
	User: name, Pass: password, Apop: anything, Auth: mechanism,
	Stls: none, Capa: none, Utf8: none, Lang: oneWordOrNone,
	Stat: none, List: numberOrNone, Uidl: numberOrNone, Retr: number, Top: twoNumbers,
	Dele: number, Rset: none, Noop: none, Quit: none,
}

// take sets the command's arguments and tells whether they are what it wants.
func (c *Command) take(a arguments, words []string, rest string) bool {
	ok, ok2 := true, true
	switch a {
	case none:
		return len(words) == 0
	case name:
		c.Text = strings.TrimSpace(rest)
		return c.Text != ""
	case mechanism:
		if len(words) > 0 {
			c.Text = strings.ToUpper(words[0])
		}
		if len(words) > 1 {
			c.Initial = words[1]
		}
		return len(words) <= 2
	case oneWordOrNone:
		if len(words) > 0 {
			c.Text = words[0]
		}
		return len(words) <= 1
	case numberOrNone:
		if len(words) == 0 {
			return true
		}
		c.Single = true
		fallthrough
	case number:
		if len(words) != 1 {
			return false
		}
		c.Message, ok = parseNumber(words[0])
	case twoNumbers:
		if len(words) != 2 {
			return false
		}
		c.Message, ok = parseNumber(words[0])
		c.Lines, ok2 = parseNumber(words[1])
	case password, anything:
	}
	return ok && ok2
}

// complaint says what is wrong with arguments that take has not taken.
func (a arguments) complaint() Phrase {
	switch a {
	case none:
		return NoArguments
	case number, numberOrNone, twoNumbers:
		return WantNumber
	case name:
		return MissingArgument
	}
	return TooManyArguments
}

// validText refuses what is not UTF-8; only logins and languages have use
// for octets that are not ASCII. RFC 6856 §2.2
func validText(s string) error {
	if !utf8.ValidString(s) {
		return &Refusal{Phrase: NotUTF8}
	}
	return nil
}

// maxNumber is where numbers stop to grow: larger than any maildrop, and as
// good as infinite for TOP.
const maxNumber = 1<<31 - 1

// parseNumber reads decimal digits; a number that is too large is maxNumber.
func parseNumber(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int(s[i]-'0'), maxNumber)
	}
	return n, s != ""
}

// upper gives a short word in upper case, without allocation where it is so
// already.
func upper(s string) Keyword {
	if len(s) > 4 { // RFC 2449 §3: keywords have three or four letters
		return ""
	}
	return Keyword(strings.ToUpper(s))
}
