package imap

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
)

// appendSteps reads the stretches of a command, which "|" parts.
func appendSteps(in string) (p AppendParser, steps []AppendStep, err error) {
	for _, stretch := range strings.Split(in, "|") {
		more, missing, err := p.Next([]byte(stretch))
		if err != nil || missing {
			return p, nil, err
		}
		steps = append(steps, more...)
	}
	return p, steps, nil
}

func TestAppendParser(t *testing.T) {
	date := time.Date(1994, 2, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
	begin := AppendStep{}
	text := func(n int64) AppendStep { return AppendStep{Kind: AppendText, Literal: Literal{Size: n}} }
	url := func(u string) AppendStep { return AppendStep{Kind: AppendURL, URL: u, Part: true} }
	part := func(n int64) AppendStep { return AppendStep{Kind: AppendText, Literal: Literal{Size: n}, Part: true} }
	tests := []struct {
		in      string
		command Append
		steps   []AppendStep
	}{
		{"APPEND a {10}|", Append{Mailbox: "a"}, []AppendStep{begin, text(10)}},
		{"append {1+}\r\na {10+}|", Append{Mailbox: "a"}, []AppendStep{begin, {Kind: AppendText, Literal: Literal{Size: 10, NonSync: true}}}},
		{
			`APPEND "a {3}" (\Seen x) " 7-Feb-1994 21:52:25 -0800" ~{10}|`, Append{Mailbox: "a {3}"},
			[]AppendStep{
				{Flags: FlagList{mail.Seen, []mail.Keyword{"x"}}, Date: date},
				{Kind: AppendText, Literal: Literal{Size: 10, Binary: true}},
			},
		},
		{"APPEND a UTF8 (~{10+}|)", Append{Mailbox: "a"}, []AppendStep{begin, {Kind: AppendText, UTF8: true, Literal: Literal{Size: 10, NonSync: true, Binary: true}}}},
		// RFC 3502: several messages.
		{`APPEND a (\Draft) {5}| {6}| (x) UTF8 (~{7}|)`, Append{Mailbox: "a"}, []AppendStep{
			{Flags: FlagList{Flags: mail.Draft}}, text(5), begin, text(6),
			{Flags: FlagList{Keywords: []mail.Keyword{"x"}}}, {Kind: AppendText, UTF8: true, Literal: Literal{Size: 7, Binary: true}},
		}},
		// RFC 4469: CATENATE.
		{`APPEND a CATENATE (URL "/b;UIDVALIDITY=1/;UID=2" TEXT {5}| URL c TEXT {6}|)`, Append{Mailbox: "a"}, []AppendStep{
			begin, url("/b;UIDVALIDITY=1/;UID=2"), part(5), url("c"), part(6),
		}},
		{"APPEND a CATENATE (URL x) CATENATE (URL {1}\r\ny)", Append{Mailbox: "a"}, []AppendStep{begin, url("x"), begin, url("y")}},
		{"APPEND a CATENATE (UTF8 (~{1}|) URL x) {2}|", Append{Mailbox: "a"}, []AppendStep{
			begin, {Kind: AppendText, UTF8: true, Part: true, Literal: Literal{Size: 1, Binary: true}}, url("x"), begin, text(2),
		}},
		// RFC 8508: REPLACE.
		{"REPLACE 4 a (x) {3}|", Append{Replace: true, Message: 4, Mailbox: "a"}, []AppendStep{{Flags: FlagList{Keywords: []mail.Keyword{"x"}}}, text(3)}},
		{"UID REPLACE * a CATENATE (URL x)", Append{Replace: true, UID: true, Mailbox: "a"}, []AppendStep{begin, url("x")}},
	}
	for _, tt := range tests {
		p, steps, err := appendSteps(tt.in)
		for i := range steps {
			if i < len(tt.steps) && steps[i].Date.Equal(tt.steps[i].Date) {
				steps[i].Date = tt.steps[i].Date
			}
		}
		if err != nil || !p.Done() || p.Command != tt.command || !reflect.DeepEqual(steps, tt.steps) {
			t.Errorf("%q: %+v, %+v, %v, done %v", tt.in, p.Command, steps, err, p.Done())
		}
	}
	for _, in := range []string{
		"APPEND a UTF8 ({10}", "APPEND a (x {10}", "APPEND a b {10}", "APPEND a x{10}", "APPEND a {1}\r\na{10}", "APPEND a {1}\r\nbc {10}",
		"APPEND a \"1-Jan-2000 00:00:00 +0000\"{10}", "APPEND a (x) (y) {10}", "APPEND a {1}|x", "APPEND a {1}|(x) {2}", "APPEND a CATENATE ()",
		"APPEND a CATENATE (URL x", "APPEND a CATENATE (TEXT x)", "APPEND a CATENATE (TEXT {3}|URL x)", "APPEND a UTF8 (~{1}|", "APPEND a UTF8 (~{1}|))",
		"REPLACE a {3}", "REPLACE 0 a {3}", "REPLACE 1:2 a {3}", "REPLACE 1 a {3}| {4}", "UID APPEND a {3}", "APPEND a CATENATE (URL x URL y) z",
	} {
		if p, steps, err := appendSteps(in); err == nil {
			t.Errorf("%q: %+v %+v, want an error", in, p.Command, steps)
		}
	}
	for _, in := range []string{"APPEND {1}", "REPLACE 1 {4+}", "APPEND a CATENATE (URL {3}", "APPEND a {4}| CATENATE (URL {3+}"} {
		var p AppendParser
		parts := strings.Split(in, "|")
		for i, part := range parts {
			if _, missing, err := p.Next([]byte(part)); missing != (i == len(parts)-1) || err != nil {
				t.Errorf("%q: missing %v, %v", part, missing, err)
			}
		}
	}
}

// The parser never fails in another way than it says, reads nothing twice, and
// stops only where it may.
func FuzzAppendParser(f *testing.F) {
	f.Add(`APPEND a (\Draft) {5}| CATENATE (URL "/b/;UID=2" TEXT {5}|) UTF8 (~{7}|)`)
	f.Add("UID REPLACE 3 {1+}\r\na \" 7-Feb-1994 21:52:25 -0800\" ~{10}|")
	f.Fuzz(func(t *testing.T, in string) {
		var p AppendParser
		for _, stretch := range strings.Split(in, "|") {
			if p.Done() {
				break
			}
			steps, missing, err := p.Next([]byte(stretch))
			if err != nil || missing {
				return
			}
			lit, announced := LineLiteral([]byte(stretch))
			for i, s := range steps {
				if s.Kind == AppendText && (i != len(steps)-1 || !announced || s.Literal != lit) {
					t.Fatalf("%q: %+v", stretch, steps)
				}
			}
			if !p.Done() && (len(steps) == 0 || steps[len(steps)-1].Kind != AppendText) {
				t.Fatalf("%q: neither done nor waiting: %+v", stretch, steps)
			}
		}
	})
}
