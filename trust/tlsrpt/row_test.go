package tlsrpt

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var dane = Policy{Type: TLSA, Domain: "mx.example.net", Text: []string{"3 1 1 00ff"}}

// Sessions that are alike are one row; those that succeed differ by their policy
// alone.
func TestRow(t *testing.T) {
	s := Session{Domain: "example.net", Policy: dane, MX: "mx.example.net", SendingIP: netip.MustParseAddr("192.0.2.1")}
	other := s
	other.MX, other.ReceivingIP, other.Reason = "b.example.net", netip.MustParseAddr("2001:db8::1"), "x"
	if !bytes.Equal(s.Row(), other.Row()) {
		t.Errorf("%s\n%s", s.Row(), other.Row())
	}
	s.Result, other.Result = TLSAInvalid, TLSAInvalid
	if bytes.Equal(s.Row(), other.Row()) {
		t.Errorf("%s", s.Row())
	}
	long := Session{Result: ValidationFailure, Reason: strings.Repeat("\x00é", 1000), MX: strings.Repeat("m", 1000), Helo: strings.Repeat("h", 1000)}
	for range 1000 {
		long.Policy.Text = append(long.Policy.Text, strings.Repeat("<", 1000))
	}
	long.Policy.MX = long.Policy.Text
	if n := len(long.Row()); n > 64<<10 {
		t.Errorf("%d octets", n)
	}
	if len(long.Policy.Text[0]) != 1000 || len(long.Policy.Text) != 1000 {
		t.Error("the session was changed")
	}
}

func TestTally(t *testing.T) {
	var tally Tally
	ok := Session{Policy: dane}
	plain := Session{Policy: Policy{Type: NoPolicyFound, Domain: "example.net"}}
	add := func(s Session, n uint64) {
		t.Helper()
		if err := tally.Add(s.Row(), n); err != nil {
			t.Fatal(err)
		}
	}
	add(ok, 7)
	add(plain, 3)
	for n := range 2 * maxFailures {
		bad := ok
		bad.Result, bad.MX, bad.ReceivingIP = CertificateExpired, fmt.Sprint("mx", n, ".example.net"), netip.MustParseAddr("192.0.2.9")
		add(bad, uint64(n+1))
	}
	if err := tally.Add([]byte("rubbish"), 1); err == nil {
		t.Error("rubbish is read")
	}
	all := tally.Policies()
	if len(all) != 2 || all[0].Policy.Type != NoPolicyFound || all[0].Summary != (Summary{3, 0}) || len(all[0].Failures) != 0 {
		t.Fatalf("%+v", all)
	}
	p := all[1]
	if p.Summary != (Summary{7, maxFailures * (2*maxFailures + 1)}) || len(p.Failures) != maxFailures || p.Failures[0].Sessions != 2*maxFailures {
		t.Errorf("%+v, %d failures, %+v", p.Summary, len(p.Failures), p.Failures[0])
	}
	if f := p.Failures[0]; f.ReceivingIP != "192.0.2.9" || f.SendingIP != "" {
		t.Errorf("%+v", f)
	}
}

// What many reports say is added up, and is bounded whoever reports.
func TestOverview(t *testing.T) {
	r, err := ParseReport(file(t, "rpt01.json"))
	if err != nil {
		t.Fatal(err)
	}
	var o Overview
	o.Add(r, "company-x.example")
	r.Range = Day(r.Range.End.Add(time.Hour))
	o.Add(r, "company-x.example")
	for n := range 1000 {
		o.Add(Report{Organization: fmt.Sprint("liar ", n), Range: r.Range, Policies: []PolicyReport{{
			Summary: Summary{0, 1}, Failures: []Failure{{Result: ResultType(fmt.Sprint("nonsense ", n)), Sessions: 1}},
		}}}, "")
	}
	o.Sort()
	if o.Reports != 1002 || o.Successful != 2*5326 || o.Failed != 2*303+1000 || o.From.Day() != 1 || o.To.Day() != 2 {
		t.Errorf("%d reports, %d, %d, %v to %v", o.Reports, o.Successful, o.Failed, o.From, o.To)
	}
	if len(o.Reporters) > maxReporters+1 || o.Reporters[0] != (Reporter{"Company-X", "company-x.example", 2, 2 * 5326, 606}) {
		t.Errorf("%d reporters, %+v", len(o.Reporters), o.Reporters[0])
	}
	if len(o.Troubles) > maxTroubles+1 || o.Troubles[1].Result != STARTTLSNotSupported || o.Troubles[1].Sessions != 400 || o.Troubles[1].MX != "mx2.mail.company-y.example" {
		t.Errorf("%d troubles, %+v", len(o.Troubles), o.Troubles[:3])
	}
	for _, result := range []ResultType{
		STARTTLSNotSupported, CertificateHostMismatch, CertificateExpired, CertificateNotTrusted, ValidationFailure, TLSAInvalid,
		DNSSECInvalid, DANERequired, STSPolicyFetchError, STSPolicyInvalid, STSWebPKIInvalid,
	} {
		if result.Advice() == ResultType("x").Advice() {
			t.Errorf("%s: nothing is advised", result)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	s := Session{Domain: "example.net", Policy: dane, MX: "mx.example.net"}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Row()
	}
}
