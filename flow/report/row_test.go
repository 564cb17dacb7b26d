package report

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"waxwing/format/aggregate"
	"waxwing/trust/dmarc"
)

func exampleRow() aggregate.Record {
	return aggregate.Record{
		Source: netip.MustParseAddr("2001:db8::1"), Disposition: aggregate.Reject, SPF: true, HeaderFrom: "a.example", EnvelopeFrom: "b.example",
		Reasons: []aggregate.Reason{{Type: "other", Comment: "x"}}, AuthDKIM: []aggregate.DKIM{{Domain: "a.example", Selector: "s", Result: "fail", Text: "why"}},
		AuthSPF: []aggregate.SPF{{Domain: "b.example", Scope: "mfrom", Result: "pass"}},
	}
}

func exampleVerdict() dmarc.Verdict {
	r, _ := dmarc.ParseRecord("v=DMARC1; p=reject; sp=none; np=quarantine; aspf=s; t=y; fo=1:d; rua=mailto:a@a.example!10m,mailto:b@b.example")
	return dmarc.Verdict{Domain: "a.example", Record: r}
}

func TestRows(t *testing.T) {
	for _, r := range []aggregate.Record{exampleRow(), {Source: netip.MustParseAddr("192.0.2.1"), DKIM: true}} {
		if back, err := parseRow(appendRow(nil, r)); err != nil || !reflect.DeepEqual(r, back) {
			t.Errorf("%+v, %v", back, err)
		}
	}
	p, to, err := parsePolicy(appendPolicy(nil, exampleVerdict()))
	want := aggregate.Policy{Domain: "a.example", Discovery: "treewalk", P: "reject", SP: "none", NP: "quarantine", FO: "1:d", ADKIM: "r", ASPF: "s", Testing: "y"}
	if err != nil || p != want || !reflect.DeepEqual(to, exampleVerdict().Record.Aggregate) {
		t.Errorf("%+v %v %v", p, to, err)
	}
}

// What is damaged is known, and what is read is what was written.
func FuzzRows(f *testing.F) {
	f.Add(appendRow(nil, exampleRow()))
	f.Add(appendPolicy(nil, exampleVerdict()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRow(b); err == nil {
			again, err := parseRow(appendRow(nil, r))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v %+v %v", r, again, err)
			}
		}
		_, _, _ = parsePolicy(b)
		var r aggregate.Report
		_ = unpackKept(b, &r)
	})
}

func TestKeptReports(t *testing.T) {
	r := &aggregate.Report{Org: "x", Records: []aggregate.Record{exampleRow(), exampleRow()}}
	data, err := packReport(r)
	if err != nil {
		t.Fatal(err)
	}
	var back aggregate.Report
	if err := unpackKept(data, &back); err != nil || !reflect.DeepEqual(*r, back) {
		t.Errorf("%+v, %v", back, err)
	}
	if err := unpackKept(append([]byte{9}, data[1:]...), &back); err == nil {
		t.Error("another version is read")
	}
	if err := unpackKept(bytes.Clone(data[:len(data)/2]), &back); err == nil {
		t.Error("half of it is read")
	}
}
