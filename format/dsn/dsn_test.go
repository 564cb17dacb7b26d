package dsn

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var when = time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))

const original = "From: <ann@a.example>\r\nSubject: hello\r\nMessage-ID: <1@a.example>\r\n\r\nHello Bob\r\n"

func failure() *Notification {
	return &Notification{
		From: mail.Address{Local: "postmaster", Domain: "mx.example"},
		To:   mail.Address{Local: "ann", Domain: "a.example"},
		Date: when, MessageID: "n1@mx.example", OriginalID: "1@a.example",
		Original: strings.NewReader(original),
		Status: Status{
			EnvelopeID: "QQ314159", ReportingMTA: Host("mx.example"),
			ReceivedFrom: Host("a.example"), Arrival: when.Add(-time.Hour),
			Recipients: []Recipient{
				{
					Original: Typed{"rfc822", "bob@b.example"}, Final: Address(mail.Address{Local: "robert", Domain: "c.example"}),
					Action: Failed, Status: "5.1.1", RemoteMTA: Host("mx.c.example"),
					Diagnostic:  Reply("550 5.1.1 <robert@c.example>: there is nobody of this name here,\r\n try another one of our users"),
					LastAttempt: when,
				},
				{
					Final: Address(mail.Address{Local: "carol", Domain: "c.example"}), Action: Delayed, Status: "4.4.1",
					Diagnostic: Reply("connection timed out"), LastAttempt: when, RetryUntil: when.AddDate(0, 0, 5),
				},
			},
		},
	}
}

// notifications are the cases of the golden files in testdata.
func notifications() map[string]*Notification {
	headers := failure()
	headers.HeadersOnly = true

	delivered := failure()
	delivered.Status.Recipients = []Recipient{{Final: Typed{"rfc822", "bob@b.example"}, Action: Delivered, Status: "2.0.0"}}

	local := mail.Address{Local: "jürgen", Domain: "bücher.example"}
	utf8 := failure()
	utf8.UTF8, utf8.OriginalUTF8 = true, true
	utf8.Original = strings.NewReader("Subject: Grüße\r\n\r\nHallo\r\n")
	utf8.Status.Recipients = []Recipient{{Original: Typed{"utf-8", `j\x{FC}rgen@b\x{FC}cher.example`}, Final: Address(local), Action: Failed, Status: "5.1.1", Diagnostic: Reply("550 kein Jürgen")}}

	narrow := failure()
	narrow.OriginalUTF8 = true
	narrow.Original = strings.NewReader("Subject: Grüße\r\n\r\nHallo\r\n")
	narrow.Status.Recipients = utf8.Status.Recipients
	return map[string]*Notification{"failed": failure(), "headers": headers, "delivered": delivered, "utf8": utf8, "utf8-to-ascii": narrow}
}

func TestGolden(t *testing.T) {
	for name, n := range notifications() {
		b, err := n.build()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := b.SetParam("boundary", "=_b").WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s: got\n%s", name, out.Bytes())
		}
		status := read(t, out.Bytes())
		if name != "utf8-to-ascii" && name != "utf8" { // there escapes have become characters
			if !same(status, n.Status) {
				t.Errorf("%s: got back\n%+v\nwant\n%+v", name, status, n.Status)
			}
		} else if got := status.Recipients[0].Original.Value; got != "jürgen@bücher.example" {
			t.Errorf("%s: original recipient %q", name, got)
		}
	}
}

// same compares times as instants.
func same(a, b Status) bool {
	utc := func(s Status) Status {
		s.Arrival = s.Arrival.UTC()
		s.Recipients = append([]Recipient{}, s.Recipients...)
		for i := range s.Recipients {
			r := &s.Recipients[i]
			r.LastAttempt, r.RetryUntil = r.LastAttempt.UTC(), r.RetryUntil.UTC()
		}
		return s
	}
	return reflect.DeepEqual(utc(a), utc(b))
}

func read(t *testing.T, b []byte) Status {
	t.Helper()
	m, err := message.Parse(bytes.NewReader(b))
	if err != nil || len(m.Defects) > 0 {
		t.Fatalf("%v %v\n%s", err, m.Defects, b)
	}
	s, err := Read(bytes.NewReader(b), m)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// Reports that other systems wrote.
func TestReadOthers(t *testing.T) {
	type want struct {
		recipients int
		final      string
		action     Action
		status     string
	}
	for name, w := range map[string]want{
		"enmime-simple_dsn.raw":                       {1, "rfc822;louisl@larry.slip.umd.edu", Failed, "4.0.0"},
		"enmime-multi_recipient_dsn.raw":              {3, "rfc822;arathib@vnet.ibm.com", Failed, "5.0.0"},
		"mimekit-delivery-status.txt":                 {1, "rfc822;newsletter-request@imusic.com", Failed, ""},
		"mimekit-delivery-status-no-blank-line.txt":   {1, "rfc822;newsletter-request@imusic.com", Failed, ""},
		"mimekit-delivery-status-multiple-blanks.txt": {1, ";", "", "5.5.0"},
	} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Error(err)
			continue
		}
		m, _ := message.Parse(bytes.NewReader(b))
		s, err := Read(bytes.NewReader(b), m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := s.Recipients[0]
		if len(s.Recipients) != w.recipients || r.Action != w.action || r.Status != w.status || r.Final.Type+";"+r.Final.Value != w.final {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestUnitext(t *testing.T) {
	for plain, coded := range map[string]string{
		"ann@a.example":         "ann@a.example",
		"jürgen+x=y@b.example":  `j\x{FC}rgen\x{2B}x\x{3D}y@b.example`,
		`"a b\c"@例.example`:     `"a\x{20}b\x{5C}c"@\x{4F8B}.example`,
		"\U0001F426@b.example":  `\x{1F426}@b.example`,
		"\U0010FFFF@xn.example": `\x{10FFFF}@xn.example`,
	} {
		if got := encodeUnitext(plain); got != coded {
			t.Errorf("encode %q: %q", plain, got)
		}
		if got := decodeUnitext(coded); got != plain {
			t.Errorf("decode %q: %q", coded, got)
		}
	}
	for _, s := range []string{`\x{}`, `\x{`, `a\x{D800}`, `\x{1234567}`, `\x{zz}b`} {
		if got := decodeUnitext(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestInjection(t *testing.T) {
	n := failure()
	n.Status.Recipients[0].Diagnostic = Typed{"smtp", "550 x\r\n\r\nFinal-Recipient: rfc822; evil@x\nAction: delivered"}
	n.Status.Recipients[0].Original = Typed{"rfc822", "a\r\nAction: delivered\r\n\r\n@b"}
	n.Status.EnvelopeID = strings.Repeat("x", 5000)
	n.Subject = "a\r\nBcc: evil@x"
	n.To.Local = "a\r\nBcc: evil"
	var out bytes.Buffer
	if _, err := n.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(out.String(), "\r\n") {
		if strings.HasPrefix(line, "Bcc") || line == "Action: delivered" || len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	if s := read(t, out.Bytes()); len(s.Recipients) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestReadHeader(t *testing.T) {
	for in, want := range map[string]string{
		original: original[:strings.Index(original, "\r\n\r\n")+2],
		"":       "", "\r\nx": "", "a: b": "a: b", "a: b\n\nc": "a: b\n",
		"a: " + strings.Repeat("x", 10000) + "\r\n\r\nbody": "a: " + strings.Repeat("x", 10000) + "\r\n",
	} {
		got, err := readHeader(io.MultiReader(strings.NewReader(in)))
		if err != nil || string(got) != want {
			t.Errorf("%.40q: %.60q %v", in, got, err)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	for _, n := range notifications() {
		f.Add(n.Status.append(nil, n.UTF8))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatus(b)
		if err != nil || len(b) > maxWord {
			return
		}
		// What is written again says the same, and has one group a recipient.
		again, err := ParseStatus(s.append(nil, true))
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if third, _ := ParseStatus(again.append(nil, true)); !same(*again, *third) {
			t.Fatalf("\n%+v\n%+v", again, third)
		}
	})
}
