package message

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors reads one of mail-parser's files of header fields.
func vectors[T any](t *testing.T, name string) []vector[T] {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mail-parser", name))
	if err != nil {
		t.Fatal(err)
	}
	var list []vector[T]
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

type vector[T any] struct {
	Header   string
	Expected T
}

// text gives the value of the header up to the field's end.
func (v vector[T]) text() string { return ParseHeader([]byte("X:" + v.Header))[0].Text() }

// Where we differ: a comment is a name only if there is no other; what has no
// address is left out; white space and routes are no part of an address.
var addressesDiffer = map[string][]string{
	"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\n":            {"Pete <pete@silly.test>"},
	"Pete(A nice \n \\\n ) chap) <pete(his\n account)@silly\n .test(his host)>\n": {"Pete chap) <pete@silly.test>"},
	"A Group(Some people)\n        :Chris Jones <c@(Chris's host.)public.example>,\n            joe@example.org,\n     John <jdoe@one.test> (my dear friend); (the end of the group)\n": {"A Group:", "Chris Jones <c@public.example>", " <joe@example.org>", "John <jdoe@one.test>", ";"},
	"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\n":                                                           {"Hidden recipients:", ";"},
	"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example\n":                                                          {"Mary Smith <mary@example.net>", " <jdoe@test.example>"},
	"John Doe <jdoe@machine(comment).  example>\n":                                                                                {"John Doe <jdoe@machine.example>"},
	"Nathaniel Borenstein <nsb@thumper.bellcore.com>\n    (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)\n":                              {"Nathaniel Borenstein <nsb@thumper.bellcore.com>"},
	"\"  James Smythe\" <james@example.com>, Friends:\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\n   <john@example.com>;\n": {"James Smythe <james@example.com>", "Friends:", " <jane@example.com>", "John Smîth <john@example.com>", ";"},
	"Name (comment) =?utf-8?q?Doe?= <a@b.com>\n":                                                                                  {"Name Doe <a@b.com>"},
}

func TestVectorsAddress(t *testing.T) {
	type address struct{ Name, Address string }
	type expected struct {
		List  []address
		Group []struct {
			Name      string
			Addresses []address
		}
	}
	for _, v := range vectors[expected](t, "address.json") {
		var want []string
		add := func(l []address) {
			for _, a := range l {
				want = append(want, fmt.Sprintf("%s <%s>", a.Name, a.Address))
			}
		}
		add(v.Expected.List)
		for _, g := range v.Expected.Group {
			if g.Name != "" {
				want = append(want, g.Name+":")
			}
			add(g.Addresses)
			if g.Name != "" {
				want = append(want, ";")
			}
		}
		var got []string
		for _, a := range ParseAddressList(v.text()) {
			switch {
			case a.Group && a.Name == "":
				got = append(got, ";")
			case a.Group:
				got = append(got, DecodeHeader(a.Name)+":")
			default:
				spec := a.Local
				if a.Domain != "" {
					spec += "@" + a.Domain
				}
				got = append(got, fmt.Sprintf("%s <%s>", DecodeHeader(a.Name), spec))
			}
		}
		if ours, ok := addressesDiffer[v.Header]; ok {
			want = ours
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q\n got %q\nwant %q", v.Header, got, want)
		}
	}
}

func TestVectorsDate(t *testing.T) {
	type expected *struct {
		Year, Month, Day, Hour, Minute, Second int
		Before                                 bool `json:"tz_before_gmt"`
		TzHour                                 int  `json:"tz_hour"`
		TzMinute                               int  `json:"tz_minute"`
	}
	for _, v := range vectors[expected](t, "date.json") {
		got, ok := ParseDate(v.text())
		e := v.Expected
		// Where we differ: months have names; fields are not dates; a comment
		// without end leaves a day without time, which we take.
		switch h := v.Header; {
		case strings.HasPrefix(h, "20 11 (some"), strings.HasPrefix(h, " 4 8 15"), strings.HasPrefix(h, "by 2002:"):
			e = nil
		case strings.HasPrefix(h, "Tue, 1 Jul 2003 ((invalid)"):
			continue
		}
		if e == nil {
			if ok {
				t.Errorf("%q: %v, want nothing", v.Header, got)
			}
			continue
		}
		sign := "+"
		if e.Before {
			sign = "-"
		}
		want := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d %s%02d%02d", e.Year, e.Month, e.Day, e.Hour, e.Minute, e.Second, sign, e.TzHour, e.TzMinute)
		if s := got.Format("2006-01-02 15:04:05 -0700"); s != want {
			t.Errorf("%q: %s, want %s", v.Header, s, want)
		}
	}
}

func TestVectorsMessageID(t *testing.T) {
	for _, v := range vectors[any](t, "id.json") {
		var want []string
		switch e := v.Expected.(type) {
		case string:
			want = []string{e}
		case []any:
			for _, id := range e {
				want = append(want, id.(string))
			}
		}
		switch v.Header { // Where we differ: white space is no part, nor is a bare word an id.
		case "<1234   @   local(blah)  .machine .example>\n":
			want = []string{"1234@local(blah).machine.example"}
		case "   m \n":
			want = nil
		}
		if got := ParseMessageIDs(v.text()); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %q, want %q", v.Header, got, want)
		}
	}
}

func TestVectorsUnstructured(t *testing.T) {
	for _, v := range vectors[string](t, "unstructured.json") {
		if strings.HasPrefix(v.Header, "[SUSPECTED SPAM]=") {
			v.Expected = "[SUSPECTED SPAM]This is the original subject" // where we differ: we add no space
		}
		if got := strings.Join(strings.Fields(DecodeHeader(v.text())), " "); got != strings.Join(strings.Fields(v.Expected), " ") {
			t.Errorf("%q: %q, want %q", v.Header, got, v.Expected)
		}
	}
}

func TestVectorsContentType(t *testing.T) {
	type expected *struct {
		Type       string `json:"c_type"`
		Subtype    string `json:"c_subtype"`
		Attributes [][2]string
	}
	for _, v := range vectors[expected](t, "content_type.json") {
		m := parse(t, []byte("Content-Type:"+v.Header))
		e := v.Expected
		if e == nil || strings.Contains(v.Header, "malicious") || strings.Contains(v.Header, "key*9999") ||
			strings.Contains(v.Header, "filename*2*=") || strings.Contains(v.Header, "w6k") || strings.Contains(v.Header, "name= ") ||
			strings.Contains(v.Header, "name=\"   ") {
			continue // nonsense, for which there is more than one answer
		}
		// Where we differ: without a subtype it is text/plain, languages are
		// not kept, and encoded words are left to Filename.
		if e.Subtype == "" {
			e.Type, e.Subtype = "text", "plain"
		}
		attributes := []Param{}
		for _, a := range e.Attributes {
			if !strings.HasSuffix(a[0], "-language") {
				attributes = append(attributes, Param{a[0], a[1]})
			}
		}
		params := []Param{}
		for _, p := range m.Root.Params {
			params = append(params, Param{p.Name, DecodeHeader(p.Value)})
		}
		got := fmt.Sprintf("%s/%s %q", m.Root.Type, m.Root.Subtype, params)
		want := fmt.Sprintf("%s/%s %q", e.Type, e.Subtype, attributes)
		if got != want {
			t.Errorf("%q\n got %s\nwant %s", v.Header, got, want)
		}
	}
}
