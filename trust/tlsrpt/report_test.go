package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"waxwing/format/message"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The published reports are read as they are.
func TestReports(t *testing.T) {
	for name, want := range map[string]struct {
		id                 string
		successful, failed Count
		failures           int
	}{
		"rpt01.json": {"5065427c-23d3-47ca-b6e0-946ea0e8c4be", 5326, 303, 3},
		"rpt02.json": {"2020-01-01T00:00:00Z_example.com", 23, 1, 1},
		"rpt03.json": {"2019-04-14T00:00:00Z_example.org", 1, 0, 0},
	} {
		r, err := ParseReport(file(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := r.Policies[0]
		if r.ID != want.id || p.Summary != (Summary{want.successful, want.failed}) || len(p.Failures) != want.failures {
			t.Errorf("%s: %+v", name, r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := ParseReport(again); err != nil || !reflect.DeepEqual(r, second) {
			t.Errorf("%s: read again: %+v, %v", name, second, err)
		}
	}
	r, err := ParseReport(file(t, "rpt01.json"))
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Policies[0].Policy; p.Type != STS || p.Domain != "company-y.example" || len(p.Text) != 4 || p.MX[0] != "*.mail.company-y.example" {
		t.Errorf("policy %+v", p)
	}
	if f := r.Policies[0].Failures[1]; f.Result != STARTTLSNotSupported || f.ReceivingIP != "203.0.113.56" || f.Sessions != 200 {
		t.Errorf("failure %+v", f)
	}
}

// found reads the report in a message of ours: it is the last part.
func found(t testing.TB, text []byte) Report {
	t.Helper()
	m, err := message.Parse(bytes.NewReader(text))
	if err != nil || len(m.Root.Parts) != 2 {
		t.Fatalf("no report in %s, %v", text, err)
	}
	p := m.Root.Parts[1]
	b, err := io.ReadAll(message.DecodeBody(bytes.NewReader(text[p.Body:p.End]), p.Encoding))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	r, err := ParseReport(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var ours = Report{
	Organization: "sender.example", Contact: "postmaster@sender.example", ID: "20261121.f00@mx.sender.example",
	Range: Day(time.Date(2026, 11, 21, 17, 0, 0, 0, time.UTC)),
	Policies: []PolicyReport{{
		Policy:  Policy{Type: TLSA, Domain: "mx.example.net", Text: []string{"3 1 1 00ff"}},
		Summary: Summary{7, 2},
		Failures: []Failure{{Result: TLSAInvalid, SendingIP: "192.0.2.1", MX: "mx.example.net", ReceivingIP: "2001:db8::1",
			Sessions: 2, Reason: "no record matches the certificate"}},
	}},
}

// What we send is what was meant, in the form of RFC 8460 §5.
func TestMail(t *testing.T) {
	text, err := Mail{
		Report: ours, Domain: "example.net", Submitter: "sender.example", MessageID: "x@mx.sender.example",
		From: message.Address{Local: "postmaster", Domain: "sender.example"}, To: message.Address{Local: "tls", Domain: "example.net"},
		Date: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC),
	}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if r := found(t, text); !reflect.DeepEqual(r, ours) {
		t.Errorf("read back: %+v", r)
	}
	header := message.ParseHeader(text)
	for name, want := range map[string]string{
		"Subject":              "Report Domain: example.net Submitter: sender.example Report-ID: <20261121.f00@mx.sender.example>",
		"TLS-Report-Domain":    "example.net",
		"TLS-Report-Submitter": "sender.example",
		"TLS-Required":         "No",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	m, err := message.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if m.Root.Subtype != "report" || m.Root.Param("report-type") != "tlsrpt" || len(m.Root.Parts) != 2 {
		t.Errorf("%+v", m.Root)
	}
	if p := m.Root.Parts[1]; p.Type+"/"+p.Subtype != TypeGzip || p.Filename() != "sender.example!example.net!1795219200!1795305599.json.gz" {
		t.Errorf("%+v, %s", p, p.Filename())
	}
}

// What senders get wrong in small things is forgiven, and the rest refused.
func TestForgiving(t *testing.T) {
	const frame = `{"report-id":"x","date-range":{"start-datetime":"2026-01-01","end-datetime":"2026-01-01T23:59:59"},"policies":[%]}`
	good := strings.Replace(frame, "%", `{"policy":{"policy-type":"sts","policy-string":"version: STSv1","mx-host":"*.x.example","policy-domain":"X.Example."},
		"summary":{"total-successful-session-count":"12","total-failure-session-count":-1},
		"failure-details":[{"result-type":"a\u0000b","failed-session-count":1e99,"failure-reason-code":"`+strings.Repeat("é", 600)+`"}]}`, 1)
	r, err := ParseReport([]byte("\xef\xbb\xbf" + good))
	if err != nil {
		t.Fatal(err)
	}
	p := r.Policies[0]
	if p.Policy.Domain != "x.example" || p.Policy.Text[0] != "version: STSv1" || p.Policy.MX[0] != "*.x.example" || p.Summary != (Summary{12, 0}) {
		t.Errorf("%+v", p)
	}
	if f := p.Failures[0]; f.Result != "a b" || f.Sessions != maxCount || len(f.Reason) > maxText || !strings.HasSuffix(f.Reason, "é") {
		t.Errorf("%+v", f)
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"no JSON":      "<xml/>",
		"no policies":  strings.Replace(frame, "%", "", 1),
		"no id":        strings.Replace(good, `"x"`, `""`, 1),
		"no time":      strings.Replace(good, "2026-01-01", "yesterday", 1),
		"backwards":    strings.Replace(good, `"end-datetime":"2026`, `"end-datetime":"2025`, 1),
		"many objects": strings.Replace(frame, "%", strings.Repeat("{},", maxObjects)+"{}", 1),
		"too long":     good + strings.Repeat(" ", MaxReport),
		"deep":         strings.Repeat("[", 1<<20),
	} {
		if r, err := ParseReport([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What was read is clean, and is read the same when it is written again.
func FuzzReport(f *testing.F) {
	for _, name := range []string{"rpt01.json", "rpt02.json", "rpt03.json"} {
		f.Add(file(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			return // a year beyond 9999
		}
		again, err := ParseReport(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(texts(r), texts(again)) {
			t.Fatalf("%+v\n%+v", r, again)
		}
	})
}

// texts gives a report as JSON, in which nothing and an empty list are the same.
func texts(r Report) string {
	for i := range r.Policies {
		p := &r.Policies[i]
		if len(p.Failures) == 0 {
			p.Failures = nil
		}
	}
	b, _ := json.Marshal(r)
	return string(b)
}
