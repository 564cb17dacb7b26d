package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDecodeBody(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "SGVs\r\nbG8=", "Hello"},
		{"BASE64", "S G-V*s\nbG8", "Hello"},
		{"base64", "SGVsbG8=IQ==", "Hello!"},
		{"base64", "====A", ""},
		{"quoted-printable", "a=3D=\r\nb  \r\nc=20\r\n", "a=b\r\nc \r\n"},
		{"quoted-printable", "a= \t\r\nb", "ab"},
		{"quoted-printable", "a=3d=zz=", "a==zz"},
		{"quoted-printable", "a=4", "a=4"},
		{"quoted-printable", "=4==41", "=4=A"},
		{"quoted-printable", "x \t\nend  ", "x\nend  "},
		{"quoted-printable", "= x", "= x"},
		{"8bit", "a=3D", "a=3D"},
		{"x-unknown", "abc", "abc"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			got, err := io.ReadAll(iotest.OneByteReader(DecodeBody(r, c.encoding)))
			if string(got) != c.want || err != nil {
				t.Errorf("%s %q: %q %v, want %q", c.encoding, c.in, got, err, c.want)
			}
		}
	}
}

func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte("a=3D=\r\nb  \r\nc=20\r\n=="), true)
	f.Add([]byte("SGVs\r\nbG8=IQ=="), false)
	f.Fuzz(func(t *testing.T, b []byte, quoted bool) {
		encoding := "base64"
		if quoted {
			encoding = "quoted-printable"
		}
		whole, _ := io.ReadAll(DecodeBody(bytes.NewReader(b), encoding))
		pieces, _ := io.ReadAll(iotest.HalfReader(DecodeBody(iotest.OneByteReader(bytes.NewReader(b)), encoding)))
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("%q, in pieces %q", whole, pieces)
		}
	})
}

// Examples of RFC 2047 §8, and what is met besides.
func TestDecodeHeader(t *testing.T) {
	for in, want := range map[string]string{
		"=?ISO-8859-1?Q?a?=":                                "a",
		"=?ISO-8859-1?Q?a?= b":                              "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=":             "ab",
		"=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?=":        "ab",
		"=?ISO-8859-1?Q?a_b?=":                              "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=":            "a b",
		"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=": "If you can read this yo",
		"=?utf-8?q?a=C3?= =?UTF-8?b?pA==?=":                 "aä",
		"=?utf-8?q?a b?=":                                   "a b",
		"=?utf-8?q?a=0D=0Ab?=":                              "a b",
		"=?utf-8?x?a?= =?utf-8?q?unclosed":                  "=?utf-8?x?a?= =?utf-8?q?unclosed",
		"=?utf-8?q??= x":                                    " x",
		"raw \xfc":                                          "raw ü",
		"raw ü":                                             "raw ü",
		"\xfc =?utf-8?q?=C3=BC?=":                           "ü ü",
		"=?iso-2022-jp?b?GyRCJDMbKEI=?= =?iso-2022-jp?b?GyRCJHMbKEI=?=": "こん",
		"folded\r\n value": "folded value",
	} {
		if got := DecodeHeader(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"hello":                           "hello",
		"Re: hello":                       "hello",
		"RE : FW: Fwd [x]: hello (fwd) ":  "hello",
		"[list] Re: [list] hello":         "hello",
		"[only]":                          "[only]",
		"[a] [b]":                         "[b]",
		"[Fwd: Re: hello]":                "hello",
		"[Fwd: [list] x] (fwd)":           "x",
		"Re[2]: x":                        "x",
		"Rest: x":                         "Rest: x",
		"=?utf-8?q?Re:_Gr=C3=BC=C3=9Fe?=": "Grüße",
		"  a \t b ":                       "a b",
		"re:":                             "",
		"":                                "",
	} {
		if got := BaseSubject(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// zeros is an endless line.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("parses hundreds of megabytes")
	}
	const huge = 64 << 20
	nested := strings.Builder{}
	for range 300 {
		nested.WriteString("Content-Type: message/rfc822\r\n\r\n")
	}
	multi := strings.Builder{}
	for i := range 300 {
		b := strings.Repeat("x", i/26+1) + string(rune('a'+i%26))
		multi.WriteString("Content-Type: multipart/mixed; boundary=" + b + "\r\n\r\n--" + b + "\r\n")
	}
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for name, r := range map[string]io.Reader{
		"one line":         io.LimitReader(endless('x'), huge),
		"dashes":           io.MultiReader(strings.NewReader(head), io.LimitReader(endless('-'), huge)),
		"one field":        io.MultiReader(strings.NewReader("Subject: "), io.LimitReader(endless('x'), huge)),
		"folded field":     io.MultiReader(strings.NewReader("To: a@b"), io.LimitReader(repeat("\r\n ,<a@b>"), huge)),
		"fields":           io.LimitReader(repeat("To: a@b\r\n"), huge),
		"references":       io.LimitReader(repeat("References: <a@b> <c@d>\r\n"), huge),
		"parts":            io.MultiReader(strings.NewReader(head), io.LimitReader(repeat("--b\r\nContent-Type: a/b; c=d\r\n\r\nx\r\n"), huge)),
		"digest":           io.MultiReader(strings.NewReader("Content-Type: multipart/digest; boundary=b\r\n\r\n"), io.LimitReader(repeat("--b\r\n\r\nTo: a@b, c@d\r\nSubject: x\r\n\r\n"), huge)),
		"params":           io.MultiReader(strings.NewReader("Content-Type: a/b"), io.LimitReader(repeat("; a*1=b"), huge)),
		"nested messages":  strings.NewReader(nested.String()),
		"nested multipart": strings.NewReader(multi.String()),
		"quotes":           io.MultiReader(strings.NewReader("To: "), io.LimitReader(repeat("\"\\"), huge/64)),
		"words":            io.MultiReader(strings.NewReader("Subject: "), io.LimitReader(repeat("=?a?q?"), huge/64)),
	} {
		m, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if m.Root.End != int64(m.Size) {
			t.Errorf("%s: size %d, end %d", name, m.Size, m.Root.End)
		}
		b := m.AppendBinary(nil)
		if len(b) > 2<<20 {
			t.Errorf("%s: encoded in %d octets", name, len(b))
		}
		roundTrip(t, m)
		BaseSubject(m.Envelope.Subject)
		t.Logf("%s: %d parts below the root, %d octets, %v", name, len(m.Root.Parts), len(b), m.Defects[:min(3, len(m.Defects))])
	}
}

// repeat reads a text for ever.
func repeat(s string) io.Reader { return &repeater{text: s} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	for n < len(p) {
		n += copy(p[n:], r.text)
	}
	r.at = (r.at + len(p)) % len(r.text)
	return len(p), nil
}
