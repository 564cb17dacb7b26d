package imapclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
)

func appended(text string, flags ...string) Appended {
	return Appended{Flags: flags, Internal: time.Unix(837596665, 0).UTC(), Size: int64(len(text)), Text: strings.NewReader(text)}
}

// What is appended goes without questions where the server takes it so, but
// for the last; what is refused is told, and the connection stays.
func TestAppend(t *testing.T) {
	play(t, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 LITERAL+ MULTIAPPEND] hello
		C: W1 NOOP
		S: W1 OK
		C: W2 APPEND "Old" (\Seen $Forwarded) "17-Jul-1996 09:44:25 +0000" {3+}
		C: abc () "17-Jul-1996 09:44:25 +0000" {4}
		S: * 1 EXISTS|+ go on
		C: defg
		S: W2 OK [APPENDUID 7 1:2] done
		C: W3 APPEND "Old" () "17-Jul-1996 09:44:25 +0000" {3}
		S: W3 NO [OVERQUOTA] full
		C: W4 APPEND "Old" () "17-Jul-1996 09:44:25 +0000" {3}
		S: + go on
		C: abc
		S: W4 NO [TOOBIG] no
		C: W5 CREATE "New \"one\""
		S: W5 NO [ALREADYEXISTS] is there
		C: W6 SUBSCRIBE "New \"one\""
		S: W6 OK
		C: W7 SELECT "Old"
		S: * FLAGS (\Seen a)|* OK [PERMANENTFLAGS (\Seen \*)] ok|* 2 EXISTS|* OK [UIDVALIDITY 7]|W7 OK [READ-WRITE] in
		C: W8 UID STORE 1:3,9 +FLAGS.SILENT (\Seen a)
		S: W8 OK
		C: W9 UID FETCH 1:2 (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID FROM SUBJECT DATE)])
		S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID FROM SUBJECT DATE)] {11}|From: a||)
		S: * 2 FETCH (BODY[HEADER.FIELDS ("MESSAGE-ID" "FROM" "SUBJECT" "DATE")] "" UID 2)|W9 OK
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		if err := c.Noop(ctx); err != nil || !c.MultiAppend() {
			t.Fatal(err)
		}
		if err := c.Append(ctx, "Old", appended("abc", `\Seen`, "$Forwarded"), appended("defg")); err != nil {
			t.Error(err)
		}
		for _, code := range []string{"OVERQUOTA", "TOOBIG"} {
			refused, _ := errors.AsType[*Refusal](c.Append(ctx, "Old", appended("abc")))
			if refused == nil || refused.Code != code || !c.Usable() {
				t.Errorf("%v, want %s", refused, code)
			}
		}
		if err := errors.Join(c.Create(ctx, `New "one"`), c.Subscribe(ctx, `New "one"`)); err != nil {
			t.Error(err)
		}
		o, err := c.Select(ctx, "Old")
		if err != nil || o.UIDValidity != 7 || !slices.Equal(o.Permanent, []string{`\Seen`, `\*`}) {
			t.Errorf("%+v, %v", o, err)
		}
		if err := c.AddFlags(ctx, []mail.UID{1, 2, 3, 9}, []string{`\Seen`, "a"}); err != nil {
			t.Error(err)
		}
		var told []string
		err = c.Heads(ctx, []mail.UID{1, 2}, func(uid mail.UID, fields []byte) error {
			told = append(told, fmt.Sprintf("%d %q", uid, fields))
			return nil
		})
		if want := []string{`1 "From: a\r\n\r\n"`, `2 ""`}; err != nil || !slices.Equal(told, want) {
			t.Errorf("%q, %v", told, err)
		}
		c.Close()
	})
}

// A text that is shorter than was said ends the connection, since the server
// would take what follows for it.
func TestAppendShort(t *testing.T) {
	play(t, `
		S: * PREAUTH [CAPABILITY IMAP4rev1] hello
		C: W1 APPEND "Old" () "17-Jul-1996 09:44:25 +0000" {9}
		S: + go on
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		m := appended("abc")
		m.Size = 9
		if err := c.Append(ctx, "Old", m); !errors.Is(err, errShort) || c.Usable() {
			t.Errorf("%v", err)
		}
		c.Close()
	})
}

// Names are made as the server has them.
func TestName(t *testing.T) {
	for _, tt := range []struct {
		c      *Client
		levels string
		want   string
	}{
		{&Client{separator: "/"}, "Lists/Grüße", "Lists/Gr&APwA3w-e"},
		{&Client{separator: ".", prefix: "INBOX.", utf8: true}, "Lists/v1.2 ü", "INBOX.Lists.v1_2 ü"},
		{&Client{separator: ".", prefix: "INBOX."}, "inbox", "INBOX"},
		{&Client{}, "a/b", "a_b"},
	} {
		if got := tt.c.Name(strings.Split(tt.levels, "/")); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.levels, got, tt.want)
		}
	}
}
