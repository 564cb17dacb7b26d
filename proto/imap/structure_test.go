package imap

import (
	"strings"
	"testing"

	"waxwing/format/message"
)

// The example of RFC 9051 §8, and what grammar demands of odd messages.
func TestEnvelope(t *testing.T) {
	const text = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n" +
		"From: Terry Gray <gray@cac.washington.edu>\r\n" +
		"Subject: IMAP4rev2 WG mtg summary and minutes\r\n" +
		"To: imap@cac.washington.edu\r\n" +
		"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n" +
		"Message-Id: <B27397-0100000@cac.washington.edu>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\nbody\r\n"
	const want = `("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" ` +
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ` +
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ` +
		`((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL ` +
		`"<B27397-0100000@cac.washington.edu>")`
	m, err := message.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(AppendEnvelope(nil, &m.Envelope, false)); got != want {
		t.Errorf("envelope\n%s\nwant\n%s", got, want)
	}
}

func TestStructure(t *testing.T) {
	tests := []struct {
		name           string
		part           message.Part
		body, extended string
	}{
		{
			"nothing is known", message.Part{Type: "text", Subtype: "plain"},
			`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`, `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`,
		},
		{
			"a multipart without parts", message.Part{Type: "multipart", Subtype: "mixed"},
			`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")`,
			`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL) "mixed" NIL NIL NIL NIL)`,
		},
		{
			"a message that was not looked into", message.Part{Type: "message", Subtype: "rfc822", Encoding: "base64", End: 9, Lines: 1},
			`("message" "rfc822" NIL NIL NIL "base64" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1)`,
			`("message" "rfc822" NIL NIL NIL "base64" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL) 1 NIL NIL NIL NIL)`,
		},
		{
			"everything",
			message.Part{
				Type: "image", Subtype: "png", Params: []message.Param{{Name: "name", Value: `a "b".png`}, {Name: "x", Value: "ü/"}},
				ID: "<1@x>", Description: "d", Encoding: "base64", MD5: "Q2hlY2s=", Body: 5, End: 25,
				Disposition: "inline", Language: []string{"de"}, Location: "http://x/",
			},
			`("image" "png" ("name" "a \"b\".png" "x*" "utf-8''%C3%BC%2F") "<1@x>" "d" "base64" 20)`,
			`("image" "png" ("name" "a \"b\".png" "x*" "utf-8''%C3%BC%2F") "<1@x>" "d" "base64" 20 "Q2hlY2s=" ("inline" NIL) "de" "http://x/")`,
		},
	}
	for _, tt := range tests {
		if got := string(AppendBodyStructure(nil, &tt.part, false, false)); got != tt.body {
			t.Errorf("%s: BODY\n%s\nwant\n%s", tt.name, got, tt.body)
		}
		if got := string(AppendBodyStructure(nil, &tt.part, true, false)); got != tt.extended {
			t.Errorf("%s: BODYSTRUCTURE\n%s\nwant\n%s", tt.name, got, tt.extended)
		}
	}
}
