package message

import (
	"fmt"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	const head = "A: 1\r\nno field\r\nb : 2\r\n\tmore\n c\nA:3\r\n\r\nC: body\r\n"
	var got []string
	for f := range Fields([]byte(head)) {
		got = append(got, fmt.Sprintf("%s|%s|%q", f.Name, f.Text(), head[f.Start:f.End]))
	}
	want := []string{`A|1|"A: 1\r\n"`, `|no field|"no field\r\n"`, `b|2	more c|"b : 2\r\n\tmore\n c\n"`, `A|3|"A:3\r\n"`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	h := ParseHeader([]byte(head))
	if h.Get("a") != "1" || h.Get("B") != "2\tmore c" || h.Get("c") != "" || !h.Has("a") || h.Has("c") {
		t.Errorf("%+v", h)
	}
	last := ""
	for f := range h.All("a") {
		last = f.Text()
	}
	if last != "3" {
		t.Error(last)
	}
	header, body := SplitHeader([]byte(head))
	if string(body) != "C: body\r\n" || !strings.HasSuffix(string(header), "A:3\r\n\r\n") {
		t.Errorf("%q %q", header, body)
	}
}

func TestPrepend(t *testing.T) {
	in := crlf("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nbad\n\ntwo\n")
	prefix := []byte("Return-Path: <a@b>\r\nReceived: x\r\n\ty\r\n")
	m := parse(t, in)
	m.Prepend(prefix)
	whole := append(prefix, in...)
	want := parse(t, whole)
	if a, b := fmt.Sprintf("%+v", m), fmt.Sprintf("%+v", want); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600": "1997-11-21T09:55:06-06:00",
		"21 Nov 97 09:55:06 GMT":                          "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 1997 09:55 -0600":                    "1997-11-21T09:55:00-06:00",
		"21 Nov 1997":                                     "1997-11-21T00:00:00Z",
		"Fri Nov 21 09:55:06 1997":                        "1997-11-21T09:55:06Z",
		"Fri Nov 21 09:55:06 EST 1997":                    "1997-11-21T09:55:06-05:00",
		"1997-11-21T09:55:06.5Z":                          "1997-11-21T09:55:06Z",
		"1997-11-21 09:55:06 +02:00":                      "1997-11-21T09:55:06+02:00",
		"Fri, 21-Nov-97 09:55:06 GMT":                     "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 1997 9:55:06 PM +0000":               "1997-11-21T21:55:06Z",
		"Fri, 21 Nov 1997 09:55:06 +0530 (IST)":           "1997-11-21T09:55:06+05:30",
		"Sat, 31 Dec 2016 23:59:60 +0000":                 "2016-12-31T23:59:59Z",
		"Fri, 21 Nov 1997 09.55.06 A":                     "1997-11-21T09:55:06Z",
		"Fri, 31 Nov 1997 09:55:06 +0000":                 "",
		"Fri, 21 Nov 1997 25:55:06 +0000":                 "",
		"yesterday":                                       "", "": "", "21 Nov": "", "(": "",
	} {
		got, ok := ParseDate(in)
		text := ""
		if ok {
			text = got.Format("2006-01-02T15:04:05Z07:00")
		}
		if text != want {
			t.Errorf("%q: %q, want %q", in, text, want)
		}
	}
}
