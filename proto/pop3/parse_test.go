package pop3

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		line string
		want Command
	}{
		// Keywords in any case. RFC 1939 §3
		{"QUIT", Command{Keyword: Quit}},
		{"quit", Command{Keyword: Quit}},
		{"nOOp", Command{Keyword: Noop}},
		{"Top 1 10", Command{Keyword: Top, Message: 1, Lines: 10}},
		// People type spaces.
		{"STAT ", Command{Keyword: Stat}},
		{"LIST  2 ", Command{Keyword: List, Message: 2, Single: true}},
		{"USER  bob ", Command{Keyword: User, Text: "bob"}},
		{"LIST", Command{Keyword: List}},
		{"UIDL 3", Command{Keyword: Uidl, Message: 3, Single: true}},
		{"RETR 1", Command{Keyword: Retr, Message: 1}},
		{"DELE 0", Command{Keyword: Dele}},
		{"TOP 1 0", Command{Keyword: Top, Message: 1}},
		// Numbers that are too large are still numbers.
		{"RETR 99999999999999999999999", Command{Keyword: Retr, Message: maxNumber}},
		// The whole rest is the password. RFC 1939 §7
		{"PASS a b  c ", Command{Keyword: Pass, Text: "a b  c "}},
		{"PASS  x", Command{Keyword: Pass, Text: " x"}},
		{"PASS ", Command{Keyword: Pass}},
		{"USER jörg", Command{Keyword: User, Text: "jörg"}}, // RFC 6856 §2.2
		{"AUTH", Command{Keyword: Auth}},
		{"AUTH plain", Command{Keyword: Auth, Text: "PLAIN"}},
		{"AUTH PLAIN =", Command{Keyword: Auth, Text: "PLAIN", Initial: "="}},
		{"APOP bob c4c9334bac560ecc979e58001b3e22fb", Command{Keyword: Apop}},
		{"LANG", Command{Keyword: Lang}},
		{"LANG *", Command{Keyword: Lang, Text: "*"}},
		{"UTF8", Command{Keyword: Utf8}},
	} {
		have, err := Parse(test.line)
		if err != nil || have != test.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", test.line, have, err, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		line string
		want Phrase
	}{
		{"", UnknownCommand},
		{" QUIT", UnknownCommand},
		{"XTND", UnknownCommand},
		{"QUITE", UnknownCommand},
		{"EHLO here", UnknownCommand},
		{"STAT 1", NoArguments},
		{"RETR", WantNumber},
		{"RETR x", WantNumber},
		{"RETR -1", WantNumber},
		{"RETR +1", WantNumber},
		{"RETR 1 2", WantNumber},
		{"TOP 1", WantNumber},
		{"LIST 1 2", WantNumber},
		{"USER", MissingArgument},
		{"USER  ", MissingArgument},
		{"PASS", MissingArgument},
		{"AUTH PLAIN a b", TooManyArguments},
		{"LANG en de", TooManyArguments},
		{"USER b\x00b", ControlCharacter},
		{"NOOP\r", ControlCharacter},
		{"PASS a\rb", ControlCharacter},
		{"USER j\xf6rg", NotUTF8},
		{"PASS \xff", NotUTF8},
	} {
		_, err := Parse(test.line)
		var r *Refusal
		if !errors.As(err, &r) || r.Phrase != test.want {
			t.Errorf("Parse(%q) fails with %v, want phrase %q", test.line, err, English.Text(test.want))
		}
	}
}

// What Parse accepts is what it says it accepts.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"USER bob", "PASS a b", "LIST", "TOP 1 2", "AUTH PLAIN =", "LANG *", "RETR 007", "UIDL 99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := Parse(line)
		if err != nil {
			var r *Refusal
			if !errors.As(err, &r) {
				t.Fatalf("Parse(%q): %v is no refusal", line, err)
			}
			return
		}
		if _, ok := grammar[c.Keyword]; !ok || !strings.EqualFold(line[:len(c.Keyword)], string(c.Keyword)) {
			t.Fatalf("Parse(%q) = %+v", line, c)
		}
		if c.Message < 0 || c.Lines < 0 || !utf8.ValidString(c.Text) || strings.ContainsAny(c.Text+c.Initial, "\r\n\x00") {
			t.Fatalf("Parse(%q) = %+v", line, c)
		}
		var again string
		switch grammar[c.Keyword] {
		case number:
			again = fmt.Sprintf("%s %d", c.Keyword, c.Message)
		case twoNumbers:
			again = fmt.Sprintf("%s %d %d", c.Keyword, c.Message, c.Lines)
		case name, password:
			again = fmt.Sprintf("%s %s", c.Keyword, c.Text)
		default:
			return
		}
		if c2, err := Parse(again); err != nil || c2 != c {
			t.Fatalf("%q -> %+v -> %q -> %+v, %v", line, c, again, c2, err)
		}
	})
}

var verb = regexp.MustCompile(`%[a-z]`)

// Every phrase is there in every language, with the same arguments, and none
// looks like a response code (RFC 2449 §6.4).
func TestPhrases(t *testing.T) {
	for _, l := range Languages() {
		for p := range phrases {
			text := catalogue[l][p]
			if text == "" || strings.HasPrefix(text, "[") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s, phrase %d: %q", l.Tag(), p, text)
			}
			if have, want := verb.FindAllString(text, -1), verb.FindAllString(catalogue[English][p], -1); fmt.Sprint(have) != fmt.Sprint(want) {
				t.Errorf("%s, phrase %d: %q has arguments %v, want %v", l.Tag(), p, text, have, want)
			}
		}
	}
}

func TestFindLanguage(t *testing.T) {
	for _, test := range []struct {
		in   string
		want string
	}{{"en", "en"}, {"DE", "de"}, {"de-AT", "de"}, {"*", "en"}, {"mul", ""}, {"", ""}, {"d", ""}, {"en_US", ""}} {
		l, ok := FindLanguage(test.in)
		if ok != (test.want != "") || ok && l.Tag() != test.want {
			t.Errorf("FindLanguage(%q) = %s, %v", test.in, l.Tag(), ok)
		}
	}
}

func TestRefusal(t *testing.T) {
	cause := errors.New("disk on fire")
	r := &Refusal{Code: SysTemp, Phrase: Trouble, Err: cause}
	if have := r.Line(English); have != "-ERR [SYS/TEMP] server trouble, try again later" {
		t.Errorf("Line = %q", have)
	}
	if !errors.Is(r, cause) || !strings.HasSuffix(r.Error(), ": disk on fire") {
		t.Errorf("Error = %q", r)
	}
	if have := (&Refusal{Phrase: NoSuchMessage, Args: []any{2}}).Line(German); have != "-ERR keine solche Nachricht, es gibt 2" {
		t.Errorf("Line = %q", have)
	}
}
