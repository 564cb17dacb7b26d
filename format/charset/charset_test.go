package charset

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

var cases = []struct{ label, in, want string }{
	{"utf-8", "Grüße", "Grüße"},
	{"utf-8", "a\xffb", "a\uFFFDb"},
	{"us-ascii", "Grüße", "Grüße"},
	{"us-ascii", "Gr\xfc\xdfe \x80", "Grüße €"},
	{"", "Gr\xfc", "Grü"},
	{"no-such-charset", "Gr\xfc", "Grü"},
	{"x-unknown", "Grü", "Grü"},
	{"ISO-8859-1", "Gr\xfc\xdfe", "Grüße"},
	{" \"iso-8859-15\" ", "\xa4", "€"},
	{"iso-8859-1*de", "\xfc", "ü"},
	{"windows-1251", "\xcf\xf0\xe8", "При"},
	{"koi8-r", "\xf0\xd2\xc9", "При"},
	{"iso-8859-8-i", "\xf9\xec\xe5\xed", "שלום"},
	{"cp437", "\x81", "ü"},
	{"cp850", "\x81", "ü"},
	{"macintosh", "\x9f", "ü"},
	{"iso-2022-jp", "\x1b$B$3$s\x1b(B!", "こん!"},
	{"cp932", "\x82\xb1\x82\xf1", "こん"},
	{"euc-jp", "\xa4\xb3\xa4\xf3", "こん"},
	{"gb2312", "\xc4\xe3\xba\xc3", "你好"},
	{"gb18030", "\xc4\xe3\x81\x30\x84\x36", "你¥"},
	{"big5", "\xa7\x41\xa6\x6e", "你好"},
	{"hz-gb-2312", "~{Dc:C~}", "你好"},
	{"euc-kr", "\xbe\xc8\xb3\xe7", "안녕"},
	{"ks_c_5601-1987", "\xbe\xc8", "안"},
	{"iso-2022-kr", "\x1b$)C\x0e>H3g\x0f ok\n\x0e>H\nascii", "안녕 ok\n안\nascii"},
	{"utf-16", "\x00a\x00\xfc", "aü"},
	{"utf-16", "\xff\xfea\x00\xfc\x00", "aü"},
	{"utf-16le", "a\x00\xfc\x00", "aü"},
	{"utf-32be", "\x00\x00\x00a\x00\x01\xf4\x26", "a\U0001F426"},
	{"tis-620", "\xca\xc7\xd1\xca\xb4\xd5", "สวัสดี"},
	// RFC 2152, examples of the end.
	{"utf-7", "A+ImIDkQ.", "A≢Α."},
	{"utf-7", "Hi Mom -+Jjo--!", "Hi Mom -☺-!"},
	{"utf-7", "+ZeVnLIqe-", "日本語"},
	{"unicode-1-1-utf-7", "Item 3 is +AKM-1.", "Item 3 is £1."},
	{"utf-7", "1 +- 1; +2D3cJg-", "1 + 1; \U0001F426"},
	{"utf-7", "+2D0- \xe4 +2D0A", "\uFFFD \uFFFD \uFFFD"},
}

func TestDecode(t *testing.T) {
	for _, c := range cases {
		if got := Decode([]byte(c.in), c.label); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.label, c.in, got, c.want)
		}
		b, err := io.ReadAll(NewReader(iotest.OneByteReader(strings.NewReader(c.in)), c.label))
		if string(b) != c.want || err != nil {
			t.Errorf("%s %q octet by octet: %q, want %q, %v", c.label, c.in, b, c.want, err)
		}
	}
	if Known("no-such-charset") || !Known("UTF-7") || !Known("Latin1") {
		t.Error("what is known is wrong")
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range cases {
		f.Add(c.label, []byte(c.in))
	}
	f.Fuzz(func(t *testing.T, label string, b []byte) {
		got := Decode(b, label)
		if !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		streamed, err := io.ReadAll(NewReader(iotest.HalfReader(strings.NewReader(string(b))), label))
		if string(streamed) != got || err != nil {
			t.Fatalf("%q, streamed %q %v", got, streamed, err)
		}
	})
}
