package imap

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	const token = "91354a473744909de610943775f92038"
	for in, want := range map[string]URL{
		// RFC 4469 §3, relative URLs.
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER": {Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: Section{Text: SectionHeader}},
		"/INBOX/;UID=785":                 {Mailbox: "INBOX", UID: 785},
		"inbox/;UID=785":                  {Mailbox: "INBOX", UID: 785},
		";UID=3/;SECTION=1.2.MIME":        {UID: 3, Section: Section{Part: []int{1, 2}, Text: SectionMIME}},
		"/;UID=3":                         {UID: 3},
		"/a%2Fb%3B%20/gr%C3%BCn/;uid=1":   {Mailbox: "a/b; /grün", UID: 1},
		"/a/;UID=1/;PARTIAL=5.7":          {Mailbox: "a", UID: 1, Partial: Partial{5, 7}},
		"/a/;UID=1/;SECTION=1/;PARTIAL=9": {Mailbox: "a", UID: 1, Section: Section{Part: []int{1}}, Partial: Partial{9, 1<<63 - 1}},
		"/a/;UID=1/;SECTION=HEADER.FIELDS%20(To%20From)": {
			Mailbox: "a", UID: 1, Section: Section{Text: SectionFields, Fields: []string{"To", "From"}},
		},
		// RFC 4467 §7
		"imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred": {
			User: "joe", Host: "example.com", Mailbox: "INBOX", UID: 20, Section: Section{Part: []int{1, 2}}, Access: "submit+fred",
			Rump: "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred",
		},
		"imap://joe%40a.example;AUTH=*@example.com:143/INBOX/;uid=20;EXPIRE=2030-01-02T03:04:05Z;URLAUTH=anonymous:internal:" + token: {
			User: "joe@a.example", Host: "example.com:143", Mailbox: "INBOX", UID: 20, Access: "anonymous", Mechanism: "INTERNAL", Token: token,
			Expire: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
			Rump:   "imap://joe%40a.example;AUTH=*@example.com:143/INBOX/;uid=20;EXPIRE=2030-01-02T03:04:05Z;URLAUTH=anonymous",
		},
		"imap://example.com/x/;UID=1;URLAUTH=authuser": {Host: "example.com", Mailbox: "x", UID: 1, Access: "authuser", Rump: "imap://example.com/x/;UID=1;URLAUTH=authuser"},
	} {
		got, err := ParseURL(in)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "/", "/a", "/a/", "/a/;UID=0", "/a/;UID=x", "/a/;UID=+1", "/a;UID=1", "imap://h/;UID=1", "imap://h", "imap:///a/;UID=1", "imap://a@b@c/d/;UID=1",
		"/a/;UID=1/;SECTION=x", "/a/;UID=1/;SECTION=", "/a/;UID=1/;PARTIAL=1.0", "/a/;UID=1/;PARTIAL=x", "/a/;UID=1/;PARTIAL=1/;SECTION=1", "/a/;UID=1/x",
		"/a/;UIDVALIDITY=0/;UID=1", "/a;UIDVALIDITY=x/;UID=1", "/a%0/;UID=1", "/a%00/;UID=1", "/a%ff/;UID=1", "/a%0D/;UID=1", "/a /;UID=1", "/ü/;UID=1",
		"/a/;UID=1;URLAUTH=anonymous", "imap://j@h/a/;UID=1;URLAUTH=", "imap://j@h/a/;UID=1;URLAUTH=user+", "imap://j@h/a/;UID=1;URLAUTH=other",
		"imap://j@h/a/;UID=1;URLAUTH=anonymous:INTERNAL", "imap://j@h/a/;UID=1;URLAUTH=anonymous:INTERNAL:12", "imap://j@h/a/;UID=1;EXPIRE=x;URLAUTH=anonymous",
		"/a/;UID=1/;SECTION=1%0D%0A", strings.Repeat("a", maxURL) + "/;UID=1",
	} {
		if u, err := ParseURL(in); err == nil {
			t.Errorf("%q: %+v, want an error", in, u)
		}
	}
}

// Whatever is accepted has a message, a rump that is its beginning, and a
// section that can be written.
func FuzzURL(f *testing.F) {
	f.Add("imap://joe%40x;AUTH=*@h:143/IN%42OX;UIDVALIDITY=3/;uid=20/;SECTION=1.HEADER.FIELDS%20(A)/;PARTIAL=1.2;EXPIRE=2030-01-02T03:04:05Z;URLAUTH=user+a:internal:91354a473744909de610943775f92038")
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER")
	f.Fuzz(func(t *testing.T, in string) {
		u, err := ParseURL(in)
		if err != nil {
			return
		}
		if u.UID == 0 || !strings.HasPrefix(in, u.Rump) || u.Access == "" != (u.Rump == "") || u.Host == "" && u.Access != "" || u.Partial.From < 0 || u.Partial.Count < 0 {
			t.Fatalf("%q: %+v", in, u)
		}
		FetchItem{Kind: FetchBody, Section: u.Section}.AppendLabel(nil)
		if text := string(AppendURLText(nil, in)); strings.ContainsAny(text, "]\r\n \\") {
			t.Fatalf("%q", text)
		}
	})
}
