package abstract

import (
	"strings"
	"testing"

	"waxwing/format/casemap"
	"waxwing/format/message"
)

func parse(t testing.TB, text string) *message.Message {
	t.Helper()
	m, err := message.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRow(t *testing.T) {
	many := strings.Repeat("someone@example.test, ", 3000) + "last@example.test"
	r := Make(parse(t, "From: =?utf-8?Q?=C3=84nne?= <Zed@A.test>\r\nTo: "+many+"\r\nCc: friends: x@y.test;\r\n"+
		"Subject: Re: [list]  Tea\r\nDate: Mon, 2 Jan 2023 23:30:00 -0200\r\nMessage-ID: <A@b>\r\nReferences: <1@b> <2@b>\r\n\r\n"))
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	text := func(f Field) string { s, _ := r.Text(f); return string(s) }
	key := func(k Key) string { return string(r.Key(k)) }
	for _, tt := range []struct{ got, want string }{
		{text(Subject), "re: [list]  tea"}, {string(r.Base()), "tea"}, {text(From), string(casemap.String("Änne <zed@a.test>"))},
		{text(MessageID), "<a@b>"}, {text(Bcc), ""}, {key(KeyFrom), "zed"}, {key(KeyTo), "someone"}, {key(KeyCc), "friends"},
		{key(DisplayFrom), string(casemap.String("änne"))}, {key(DisplayTo), "someone@example.test"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	if _, whole := r.Text(To); whole {
		t.Error("a field of 66,000 octets is whole")
	}
	if _, whole := r.Text(Subject); !whole || !r.Reply() {
		t.Error("subject is cut, or no reply")
	}
	sent, ok := r.Sent()
	year, month, day, _ := r.Day()
	if !ok || sent != 1672709400 || year != 2023 || month != 1 || day != 2 {
		t.Error(sent, ok, year, month, day)
	}
	if r.ID() != HashID("A@b") || r.References() != 2 || r.Reference(1) != HashID("2@b") {
		t.Error("ids")
	}
	if len(r) > 8<<10 {
		t.Errorf("%d octets", len(r))
	}
}

// Any header makes a row that can be read, whatever is cut off it.
func FuzzRow(f *testing.F) {
	f.Add("From: a@b\r\nSubject: =?utf-8?Q?=C3=84?=\r\nMessage-ID: <x@y>\r\nDate: 2 Jan 2023 10:00 +0000\r\n\r\n", uint16(3))
	f.Add("To: "+strings.Repeat("\ufdfa ", 300)+"<a@b>\r\nFrom: \ufdfa\ufdfa: x@y;\r\n\r\n", uint16(100))
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		r := Make(parse(t, text))
		use := func(r Row) {
			for f := range Field(MessageID + 1) {
				r.Text(f)
			}
			for k := range DisplayTo + 1 {
				r.Key(k)
			}
			for i := range r.References() {
				r.Reference(i)
			}
			r.Base()
			r.ID()
			r.Sent()
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		use(r)
		if broken := r[:min(int(cut), len(r))]; broken.Check() == nil {
			use(broken)
		}
	})
}
