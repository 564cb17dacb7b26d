package arf

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"waxwing/format/message"
)

func example() *Feedback {
	return &Feedback{
		Type: "auth-failure", UserAgent: "Waxwing/1", Arrival: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), Source: netip.MustParseAddr("192.0.2.2"),
		Domains: []string{"consumer.example"}, MailFrom: "redacted-x@forwarder.example", Incidents: 3,
		Results: "gen.example; dmarc=fail header.from=consumer.example", Failure: "dmarc", DeliveryResult: "reject", Alignment: "dkim, spf",
		DKIMDomain: "consumer.example", DKIMIdentity: "@consumer.example", DKIMSelector: "epsilon", SPFDNS: []string{`txt : consumer.example : "v=spf1 -all"`},
	}
}

func TestMessage(t *testing.T) {
	f := example()
	var b bytes.Buffer
	m := f.Message("Hello.\n", []byte("From: <a@consumer.example>\r\nX: \xc3\xa4\r\n"))
	m.AddText("Subject", "x")
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	p := message.NewParser()
	_, _ = p.Write(b.Bytes())
	back, header, err := Read(bytes.NewReader(b.Bytes()), p.Finish())
	if err != nil || !strings.Contains(string(header), "From: <a@consumer.example>") || !strings.Contains(string(header), "X: \xc3\xa4") {
		t.Fatalf("%q, %v", header, err)
	}
	back.Arrival = back.Arrival.UTC()
	if !reflect.DeepEqual(f, back) {
		t.Errorf("%+v\n%+v", f, back)
	}
	if !strings.Contains(b.String(), "report-type=feedback-report") && !strings.Contains(b.String(), `report-type="feedback-report"`) {
		t.Error(b.String())
	}
}

func TestRedact(t *testing.T) {
	header := "Received: from x by y for <Bob@our.example>;\r\n Sun, 22 Nov 2026 08:00:00 +0000\r\n" +
		"Subject: secret\r\nX-Customer: bob@our.example\r\n" +
		"From: \"Ann <at> Home\" <ann@consumer.example>, sub@news.consumer.example\r\n" +
		"To: Bob <bob@our.example>, \"odd local\"@our.example\r\nDKIM-Signature: i=@consumer.example; d=consumer.example\r\n\r\nbody bob@our.example"
	key := []byte("key")
	got := string(Redact([]byte(header), "consumer.example", key))
	for _, wanted := range []string{"ann@consumer.example", "sub@news.consumer.example", "i=@consumer.example", "for <redacted-", "@our.example"} {
		if !strings.Contains(got, wanted) {
			t.Errorf("%q is not in\n%s", wanted, got)
		}
	}
	for _, unwanted := range []string{"secret", "bob@", "Bob@", "odd local", "body", "X-Customer"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%q is in\n%s", unwanted, got)
		}
	}
	if Address("Bob@our.example", "consumer.example", key) != Address("bob@our.example", "consumer.example", key) ||
		Address("bob@our.example", "consumer.example", key) == Address("eve@our.example", "consumer.example", key) {
		t.Error("the same local part has not the same replacement")
	}
}

// The display name of somebody of ours is not shown either.
func TestRedactNames(t *testing.T) {
	got := string(Redact([]byte("To: Bob Brown <bob@our.example>\r\nCc: undisclosed (bob)\r\n"), "consumer.example", nil))
	if strings.Contains(got, "Brown") || strings.Contains(got, "bob") {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example().Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(r.Bytes())
		if err != nil {
			t.Fatalf("%v: %q", err, r.Bytes())
		}
		if !r.Arrival.Equal(again.Arrival) && !r.Arrival.IsZero() && r.Arrival.Year() > 1 && r.Arrival.Year() < 9999 {
			t.Errorf("%v, %v", r.Arrival, again.Arrival)
		}
		if r.Arrival, again.Arrival = (time.Time{}), (time.Time{}); !reflect.DeepEqual(r, again) {
			t.Errorf("%+v\n%+v", r, again)
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add([]byte("To: bob@our.example, \"x\\\"y\"@our.example\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		out := Redact(header, "consumer.example", []byte("key"))
		if len(out) > maxRedacted {
			t.Errorf("%d octets", len(out))
		}
		for field := range message.Fields(out) {
			if !shown[strings.ToLower(string(field.Name))] {
				t.Errorf("%q", field.Name)
			}
		}
	})
}
