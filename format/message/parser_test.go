package message

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// crlf writes a test message with the line ends of the wire.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n"))
}

func parse(t testing.TB, b []byte) *Message {
	t.Helper()
	m, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// outline draws the tree: number, type, lines and body of each leaf.
func outline(b []byte, p *Part, number string) string {
	s := fmt.Sprintf("%s %s/%s %d", number, p.Type, p.Subtype, p.Lines)
	if len(p.Parts) == 0 {
		s += fmt.Sprintf(" %q", b[p.Body:p.End])
	}
	s += "\n"
	for i := range p.Parts {
		s += outline(b, &p.Parts[i], fmt.Sprintf("%s.%d", number, i+1))
	}
	return s
}

var structures = []struct {
	name, in, want string
	defects        []string
}{
	{"plain", "Subject: a\n\nhello\nworld\n", "0 text/plain 2 \"hello\\r\\nworld\\r\\n\"\n", nil},
	{"no body", "Subject: a\n", "0 text/plain 0 \"\"\n", nil},
	{"nothing", "", "0 text/plain 0 \"\"\n", nil},
	{"no header", "\n\nhi", "0 text/plain 0 \"hi\"\n", nil},
	{"multipart", `
Content-Type: multipart/mixed; boundary=b

preamble
--b

one
--b
Content-Type: text/html

two

--b--
epilogue
`, `0 multipart/mixed 11
0.1 text/plain 0 "one"
0.2 text/html 1 "two\r\n"
`, nil},
	{"delimiters directly behind one another", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\nContent-Type: text/html\n--b--",
		"0 multipart/mixed 5\n0.1 text/plain 0 \"\"\n0.2 text/plain 0 \"\"\n0.3 text/html 0 \"\"\n", nil},
	{"no parts", "Content-Type: multipart/mixed; boundary=b\n\nnothing here\n",
		"0 multipart/mixed 1 \"nothing here\\r\\n\"\n", []string{defectNoDelimiter}},
	{"no boundary", "Content-Type: multipart/mixed\n\n--b\n\nx\n",
		"0 multipart/mixed 3 \"--b\\r\\n\\r\\nx\\r\\n\"\n", []string{defectNoBoundary}},
	{"missing closing delimiter", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
		"0 multipart/mixed 3\n0.1 text/plain 1 \"x\\r\\n\"\n", []string{defectNoDelimiter}},
	{"outer boundary ends inner parts", `
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner

deep
--outer

last
--outer--
`, `0 multipart/mixed 10
0.1 multipart/alternative 2
0.1.1 text/plain 0 "deep"
0.2 text/plain 0 "last"
`, []string{defectNoDelimiter}},
	{"one boundary begins another, the longer outside", `
Content-Type: multipart/mixed; boundary=ab

--ab
Content-Type: multipart/mixed; boundary=a

--a

1
--ab

2
--ab--
`, `0 multipart/mixed 10
0.1 multipart/mixed 2
0.1.1 text/plain 0 "1"
0.2 text/plain 0 "2"
`, []string{defectNoDelimiter}},
	{"one boundary begins another, the longer inside", `
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/mixed; boundary=a--b

--a--b

1
--a--b--
--a

2
--a--
`, `0 multipart/mixed 11
0.1 multipart/mixed 3
0.1.1 text/plain 0 "1"
0.2 text/plain 0 "2"
`, nil},
	{"white space behind a delimiter", "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b \t\n\n1\n--b-- \nrest\n",
		"0 multipart/mixed 5\n0.1 text/plain 0 \"1\"\n", nil},
	{"message", `
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=b

--b

x
--b--
`, `0 message/rfc822 7
0.1 multipart/mixed 4
0.1.1 text/plain 0 "x"
`, nil},
	{"encoded message is opaque", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQQ==\n",
		"0 message/rfc822 1 \"QQ==\\r\\n\"\n", []string{defectEncodedInside}},
	{"digest", `
Content-Type: multipart/digest; boundary=b

--b

Subject: one

first
--b
Content-Type: text/plain

second
--b--
`, `0 multipart/digest 10
0.1 message/rfc822 2
0.1.1 text/plain 0 "first"
0.2 text/plain 0 "second"
`, nil},
	{"digest with nothing in its messages", "Content-Type: multipart/digest; boundary=b\n\n--b\n--b\n\n--b--\n", `0 multipart/digest 4
0.1 message/rfc822 0
0.1.1 text/plain 0 ""
0.2 message/rfc822 0
0.2.1 text/plain 0 ""
`, nil},
	{"no empty line before the first delimiter", "Content-Type: multipart/mixed; boundary=b\n--b\n\n1\n--b--\n",
		"0 multipart/mixed 4\n0.1 text/plain 0 \"1\"\n", []string{defectNoHeaderEnd}},
	{"repeated content type", "Content-Type: text/html\nContent-Type: text/plain\n\n", "0 text/html 0 \"\"\n", []string{defectDuplicate}},
	{"content type without subtype", "Content-Type: text\n\n", "0 text/plain 0 \"\"\n", []string{defectContentType}},
	{"mbox line", "From joe@x Mon Jan  1\nContent-Type: text/html\n\n", "0 text/html 0 \"\"\n", nil},
	{"text before the colon", "what is this\nContent-Type: text/html\n\n", "0 text/html 0 \"\"\n", []string{defectNoColon}},
}

func TestStructure(t *testing.T) {
	for _, c := range structures {
		t.Run(c.name, func(t *testing.T) {
			in := crlf(c.in)
			m := parse(t, in)
			if got := outline(in, &m.Root, "0"); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			var defects []string
			for _, d := range m.Defects {
				defects = append(defects, d.What)
			}
			if !reflect.DeepEqual(defects, c.defects) {
				t.Errorf("defects %q, want %q", defects, c.defects)
			}
			// The same with bare line feeds.
			lf := bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n"))
			m = parse(t, lf)
			if got, want := outline(lf, &m.Root, "0"), strings.ReplaceAll(c.want, `\r`, ""); got != want {
				t.Errorf("bare LF: got\n%swant\n%s", got, want)
			}
		})
	}
}
