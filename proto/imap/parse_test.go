package imap

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"waxwing/mail"
)

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want Command
	}{
		{"noop", Bare("NOOP")},
		{"LOGIN bob secret", Login{"bob", "secret"}},
		{`LOGIN "b\"o\\b" {6}` + "\r\nse\r\n}t", Login{`b"o\b`, "se\r\n}t"}},
		{"LOGIN {3+}\r\nbob {1+}\r\nx", Login{"bob", "x"}},
		{"LOGIN a]b +", Login{"a]b", "+"}},
		{"AUTHENTICATE plain", Authenticate{Mechanism: "PLAIN"}},
		{"AUTHENTICATE PLAIN =", Authenticate{Mechanism: "PLAIN", Initial: []byte{}}},
		{"AUTHENTICATE PLAIN AGI=", Authenticate{Mechanism: "PLAIN", Initial: []byte("\x00b")}},
		{"ENABLE utf8=accept IMAP4rev2", Enable{[]string{"UTF8=ACCEPT", "IMAP4REV2"}}},
		{"ID NIL", ID{}},
		{`ID ("name" "x" "v" NIL)`, ID{[]IDField{{"name", "x"}, {"v", ""}}}},
		{"SELECT inbox", Select{Mailbox: "inbox"}},
		// More spaces than there should be.
		{"NOOP ", Bare("NOOP")},
		{"LOGIN  a  b ", Login{"a", "b"}},
		{"ENABLE  X  Y ", Enable{[]string{"X", "Y"}}},
		{"FETCH 1  ( UID ) ", Fetch{Set: Set{Ranges: []Range{{1, 1}}}, Items: []FetchItem{{Kind: FetchUID}}}},
		{"SEARCH  ( ALL ) ", Search{Program: SearchKey{Op: SearchAll}}},
		{"CREATE a ", Create{Mailbox: "a"}},
		{`LIST  ""  a `, List{Patterns: []string{"a"}}},
		{"STORE 1 FLAGS  ( x ) ", Store{Set: Set{Ranges: []Range{{1, 1}}}, Flags: FlagList{Keywords: []mail.Keyword{"x"}}}},
		{"STORE 1 FLAGS x  ", Store{Set: Set{Ranges: []Range{{1, 1}}}, Flags: FlagList{Keywords: []mail.Keyword{"x"}}}},
		{"EXAMINE {5}\r\nINBOX", Select{Mailbox: "INBOX", ReadOnly: true}},
		{`CREATE x (USE (\Sent \Junk))`, Create{"x", []string{`\Sent`, `\Junk`}}},
		{"RENAME a b", Rename{"a", "b"}},
		{"UNSUBSCRIBE a", Subscribe{"a", true}},
		{`LIST "" *`, List{Patterns: []string{"*"}}},
		{`LIST (SUBSCRIBED RECURSIVEMATCH) "" (a% "b") RETURN (CHILDREN STATUS (MESSAGES SIZE))`, List{
			Select: SelectSubscribed | SelectRecursive, Patterns: []string{"a%", "b"},
			Return: ReturnChildren | ReturnStatus, Status: []StatusItem{StatusMessages, StatusSize}, Extended: true,
		}},
		{`LSUB "#news." %`, Lsub{Reference: "#news.", Pattern: "%"}},
		{"STATUS a (UIDNEXT MESSAGES uidnext)", Status{"a", []StatusItem{StatusUIDNext, StatusMessages}}},
		{"FETCH 1:*,7 (FLAGS UID)", Fetch{
			Set: Set{Ranges: []Range{{1, Star}, {7, 7}}}, Items: []FetchItem{{Kind: FetchFlags}, {Kind: FetchUID}},
		}},
		{"uid fetch $ body.peek[1.2.header.fields (a \"b\")]<0.10>", Fetch{
			UID: true, Set: Set{Saved: true}, Items: []FetchItem{{
				Kind: FetchBody, Peek: true, Partial: Partial{0, 10},
				Section: Section{Part: []int{1, 2}, Text: SectionFields, Fields: []string{"a", "b"}},
			}},
		}},
		{`STORE 2:4 +FLAGS.SILENT (\Seen $Work)`, Store{
			Set: Set{Ranges: []Range{{2, 4}}}, Op: StoreAdd, Silent: true,
			Flags: FlagList{mail.Seen, []mail.Keyword{"$Work"}},
		}},
		{`UID STORE * -flags \deleted \Draft`, Store{
			UID: true, Set: Set{Ranges: []Range{{Star, Star}}}, Op: StoreRemove, Flags: FlagList{Flags: mail.Deleted | mail.Draft},
		}},
		{"COPY 1 a", Copy{Set: Set{Ranges: []Range{{1, 1}}}, Mailbox: "a"}},
		{"UID MOVE 1 a", Copy{UID: true, Move: true, Set: Set{Ranges: []Range{{1, 1}}}, Mailbox: "a"}},
		{"UID EXPUNGE 1", Expunge{Set{Ranges: []Range{{1, 1}}}}},
		{"SEARCH RETURN () CHARSET utf-8 unseen", Search{
			Return: ReturnAll, Extended: true, Charset: "utf-8", Program: not(flagKey(mail.Seen)),
		}},
	}
	for _, tt := range tests {
		got, err := Parse([]byte(tt.in))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "NOOP x", "NOOP\t", "LOGIN", "LOGIN a", "LOGIN a ", "LOGIN a b c", `LOGIN "a b`, `LOGIN "\a" b`,
		"LOGIN {4}\r\nbob x", "LOGIN {3}bob x", "LOGIN {1}\r\n\x00 x", "LOGIN {99999999999999999999}\r\n x",
		"LOGIN a\x00 b", "LOGIN a\x80 b", "LOGIN \"\xff\" b", "LOGIN a(b c", "AUTHENTICATE", "AUTHENTICATE PLAIN *",
		"ENABLE", "ID", "ID (x y)", `ID ("x")`, "SELECT", "SELECT a b", "CREATE a (X (y))", "CREATE a (USE (Sent))",
		"LIST a", `LIST "" a RETURN`, `LIST (RECURSIVEMATCH REMOTE) "" a`, "STATUS a", "STATUS a ()",
		"FETCH 1", "FETCH 0 UID", "FETCH 1, UID", "FETCH 1:2:3 UID", "FETCH 4294967296 UID", "FETCH $,1 UID", "FETCH a UID",
		"FETCH 1 ()", "FETCH 1 (UID", "FETCH 1 ( )", "FETCH 1 (UID\"FLAGS\")", "FETCH 1 BODY.PEEK", "FETCH 1 BODY[", "FETCH 1 BODY[1.]", "FETCH 1 BODY[.1]",
		"FETCH 1 BODY[HEADER.FIELDS]", "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[HEADER.FIELDS (a:)]", "FETCH 1 BODY[MIME]",
		"FETCH 1 BODY[]<0>", "FETCH 1 BODY[]<1.0>", "FETCH 1 BINARY[HEADER]", "FETCH 1 BINARY.SIZE", "FETCH 1 RFC822.PEEK",
		"STORE 1 FLAGS", `STORE 1 FLAGS \Nonsense`, "STORE 1 FLAG (a)", "STORE 1 FLAGS (a", "COPY 1", "UID", "UID NOOP", "UID EXPUNGE",
		"SEARCH", "SEARCH RETURN (X) ALL", "SEARCH ()", "SEARCH NOT", "SEARCH OR ALL", "SEARCH UID", "SEARCH ON 1-Foo-2000",
		"SEARCH ON 30-Feb-2000", "SEARCH HEADER a", "SEARCH ( )", "APPEND a b",
		"SEARCH " + strings.Repeat("(", 1000) + "ALL" + strings.Repeat(")", 1000), "SEARCH " + strings.Repeat("NOT ", 1000) + "ALL",
	} {
		cmd, err := Parse([]byte(in))
		if _, ok := errors.AsType[*SyntaxError](err); !ok && !errors.Is(err, ErrUnknown) {
			t.Errorf("Parse(%.80q) = %+v, %v; want an error", in, cmd, err)
		}
	}
}

func TestParseTag(t *testing.T) {
	for in, want := range map[string]string{
		"a NOOP": "a", "1.2]x NOOP": "1.2]x", "": "", " NOOP": "", "+ NOOP": "", "a+ NOOP": "", "a\x80 NOOP": "", "\"a\" NOOP": "",
	} {
		tag, rest, err := ParseTag([]byte(in))
		if tag != want || (err == nil) != (want != "") || err == nil && string(rest) != "NOOP" {
			t.Errorf("ParseTag(%q) = %q, %q, %v", in, tag, rest, err)
		}
	}
	if tag, _, err := ParseTag([]byte("a")); tag != "a" || err == nil {
		t.Errorf("a tag alone: %q, %v", tag, err)
	}
}

func TestLineLiteral(t *testing.T) {
	for in, want := range map[string]*Literal{
		"a {3}": {Size: 3}, "a {3+}": {Size: 3, NonSync: true}, "a ~{3}": {Size: 3, Binary: true}, "{0}": {},
		"a": nil, "a {}": nil, "a {x}": nil, "a {3}x": nil, "a {-3}": nil, "3}": nil, "{99999999999999999999}": nil,
		"a {9223372036854775807+}": {Size: 1<<63 - 1, NonSync: true},
	} {
		got, ok := LineLiteral([]byte(in))
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("LineLiteral(%q) = %+v, %v", in, got, ok)
		}
	}
}

var seeds = []string{
	"A1 LOGIN {3}\r\nbob \"secret\"", "a UID FETCH 1:*,5 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A B)]<0.5> BINARY[1])",
	"a SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR (NOT SEEN) UID 1:* TEXT \"x\" SENTSINCE 1-Jan-2000 HEADER a {1}\r\nb",
	`a LIST (SUBSCRIBED) "" ("*" %) RETURN (STATUS (MESSAGES) CHILDREN)`, `a STORE $ -FLAGS.SILENT (\Seen x)`,
	"a APPEND {1}\r\na (\\Seen) \"01-Jan-2000 00:00:00 +0000\" UTF8 (~{5+}", "a ID (\"a\" NIL)", "a STATUS &- (SIZE)",
	"a CREATE x (USE (\\Sent))", "a ENABLE a b", "a AUTHENTICATE X =", "a UID COPY 1 b",
	"a SELECT x (CONDSTORE QRESYNC (7 9 1:5,8 (1,2:3 4,6:7)))", "a UID FETCH 1:* (FLAGS MODSEQ PREVIEW (LAZY)) (CHANGEDSINCE 5 VANISHED PARTIAL -1:-9)",
	"a STORE 1 (UNCHANGEDSINCE 0) +FLAGS x", `a SEARCH MODSEQ "/flags/\\draft" all 6 THREADID t1 UIDAFTER 4 SAVEDON 1-Jan-2000`,
	"a NOTIFY SET STATUS (selected (MessageNew (UID BODY[TEXT]) MessageExpunge)) (subtree (a {1}\r\nb) NONE) (personal MailboxName)",
	`a GENURLAUTH "imap://j@h/a/;UID=1;URLAUTH=anonymous" INTERNAL`, `a URLFETCH ("imap://j@h/a/;UID=1" BINARY BODYPARTSTRUCTURE) x`,
	"a RESETKEY b INTERNAL", "a COMPRESS DEFLATE", "a UIDBATCHES 500 1:3", "a SEARCH RETURN (UPDATE (UID FLAGS) COUNT) ALL",
}

// No command makes the parsers fail in another way than they say.
func FuzzCommand(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := bytes.Clone(b)
		tag, rest, err := ParseTag(b)
		if err != nil {
			return
		}
		if between := bytes.TrimSuffix(b[len(tag):], rest); len(between) == 0 || len(bytes.Trim(between, " ")) > 0 {
			t.Fatalf("%q: tag %q, rest %q", b, tag, rest)
		}
		LineLiteral(rest)
		cmd, err := Parse(rest)
		if err == nil && grammars[cmd.Name()] == nil {
			t.Fatalf("%q: a command without grammar, %q", b, cmd.Name())
		}
		if !bytes.Equal(whole, b) {
			t.Fatal("the input was changed")
		}
	})
}
