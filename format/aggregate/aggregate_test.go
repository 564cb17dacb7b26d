package aggregate

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

func example() *Report {
	begin := time.Unix(1760054400, 0).UTC()
	return &Report{
		Org: "Example <Mail> & Co", Email: "postmaster@receiver.example", ID: "20251010.example.com.4f2a@receiver.example",
		Begin: begin, End: begin.Add(24*time.Hour - time.Second), Generator: "Waxwing",
		Policy: Policy{
			Domain: "example.com", Discovery: "treewalk", P: "reject", SP: "quarantine", NP: "reject", FO: "1:d", ADKIM: "r", ASPF: "s", Testing: "n",
		},
		Records: []Record{
			{
				Source: netip.MustParseAddr("192.0.2.1"), Count: 17, Disposition: Pass, DKIM: true,
				HeaderFrom: "example.com", EnvelopeFrom: "bounce.example.net",
				AuthDKIM: []DKIM{{"example.com", "s1", "pass", ""}, {"example.net", "x", "fail", "the body was changed"}},
				AuthSPF:  []SPF{{"bounce.example.net", "mfrom", "pass", ""}},
			},
			{
				Source: netip.MustParseAddr("2001:db8::7"), Count: 1, Disposition: Quarantine, HeaderFrom: "news.example.com",
				Reasons: []Reason{{MailingList, "came through a list"}, {PolicyTestMode, ""}},
				AuthSPF: []SPF{{"mx.example.net", "helo", "none", ""}},
			},
		},
	}
}

// RFC 9990 appendix A
func TestWrite(t *testing.T) {
	var b bytes.Buffer
	r := example()
	if err := r.XML(&b); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/report.xml"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%v: %s", err, b.String())
	}
	back, err := Parse(b.Bytes())
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%+v, %v", back, err)
	}
	packed, err := r.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, b.Bytes()) {
		t.Errorf("%v", err)
	}
	if got := r.Filename("mx.receiver.example"); got != "mx.receiver.example!example.com!1760054400!1760140799!20251010examplecom4f2areceiverexample.xml.gz" {
		t.Error(got)
	}
	if got := r.Subject("receiver.example"); got != "Report Domain: example.com Submitter: receiver.example Report-ID: <20251010.example.com.4f2a@receiver.example>" {
		t.Error(got)
	}
}

// What large senders write, and what small ones get wrong.
func TestRead(t *testing.T) {
	for file, want := range map[string]string{
		"google.xml": "google.com 17462153026021571234 2025-10-10T00:00:00Z example.org quarantine false: " +
			"2001:db8::25 12 none true true example.org; 198.51.100.7 3 none false false example.org local_policy",
		"microsoft.xml": "Enterprise Outlook 0c8a5b1f2d7e4f6a9b3c 2025-10-10T00:00:00Z example.org quarantine false: " +
			"192.0.2.25 1 none true false example.org",
		"yahoo.xml":    "Yahoo 1760150000.123456 2025-10-10T00:00:00Z example.org quarantine false: 192.0.2.25 2 none true true example.org",
		"careless.xml": "receiver.example * 2025-10-10T00:00:00Z example.org none true: 2001:db8::1 1234 none true false example.org",
	} {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, variant := range [][]byte{b, utf16(b)} {
			r, err := Parse(variant)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if len(r.ID) == 16 && file == "careless.xml" {
				r.ID = "*"
			}
			if got := summary(r); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
			}
		}
	}
	b, err := os.ReadFile("testdata/careless.xml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	first := r.Records[0]
	if got := fmt.Sprint(first.AuthSPF, first.AuthDKIM); got != "[{example.org  fail } {mx.example.org  temperror }] [{example.org  permerror no key & no hope}]" {
		t.Error(got)
	}
}

func utf16(b []byte) []byte {
	out := []byte("\xff\xfe")
	for _, c := range strings.TrimPrefix(string(b), "\ufeff") {
		out = append(out, byte(c), byte(c>>8))
	}
	return out
}

func summary(r *Report) string {
	var all []string
	for _, rec := range r.Records {
		one := fmt.Sprint(rec.Source, rec.Count, " ", rec.Disposition, " ", rec.DKIM, rec.SPF, " ", rec.HeaderFrom)
		for _, reason := range rec.Reasons {
			one += " " + reason.Type
		}
		all = append(all, one)
	}
	return fmt.Sprintf("%s %s %s %s %s %v: %s", r.Org, r.ID, r.Begin.Format(time.RFC3339), r.Policy.Domain, r.Policy.P, r.Cut, strings.Join(all, "; "))
}

func TestNotReports(t *testing.T) {
	metadata := "<report_metadata><org_name>x</org_name><date_range><begin>1760054400</begin><end>1760140799</end></date_range></report_metadata>"
	for what, doc := range map[string]string{
		"nothing":           "",
		"words":             "hello",
		"html":              "<html><feedback/></html>",
		"empty":             "<feedback/>",
		"no domain":         "<feedback>" + metadata + "</feedback>",
		"no metadata":       "<feedback><policy_published><domain>example.org</domain></policy_published></feedback>",
		"no time":           "<feedback><report_metadata><org_name>x</org_name></report_metadata><policy_published><domain>example.org</domain></policy_published></feedback>",
		"a bomb":            `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>`,
		"broken off early":  "<feedback>" + metadata + "<policy_published><domain>example.org</domain></policy_published><record><row>",
		"end before begin":  strings.Replace("<feedback>"+metadata+"<policy_published><domain>example.org</domain></policy_published></feedback>", "1760140799", "1", 1),
		"deep":              strings.Repeat("<feedback>", 12000),
		"deep in a record":  "<feedback>" + metadata + "<record>" + strings.Repeat("<row>", 12000),
		"deep in something": "<feedback>" + metadata + strings.Repeat("<x>", 20000),
	} {
		if r, err := Parse([]byte(doc)); !errors.Is(err, ErrNotReport) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	many := "<feedback>" + metadata + "<policy_published><domain>example.org</domain></policy_published>" +
		strings.Repeat("<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>", MaxRecords+5) + "</feedback>"
	if r, err := Parse([]byte(many)); err != nil || len(r.Records) != MaxRecords || !r.Cut {
		t.Errorf("%v", err)
	}
}

// What is read can be written, and read again as the same.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"report.xml", "google.xml", "microsoft.xml", "yahoo.xml", "careless.xml"} {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(utf16(b))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		r, err := Parse(document)
		if err != nil {
			if !errors.Is(err, ErrNotReport) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := r.XML(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b.Bytes())
		if err != nil {
			t.Fatalf("%v in %s", err, b.String())
		}
		r.Cut, r.Policy.Percent, again.Policy.Percent = false, "", ""
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v\nis read again as\n%+v", r, again)
		}
	})
}

// Many empty elements, of a few octets each, are not kept.
func TestManyElements(t *testing.T) {
	filled := func(element string) string { return strings.Repeat(element, 1000) }
	text := "<record><row><policy_evaluated>" + filled("<reason/>") + "</policy_evaluated></row><auth_results>" +
		filled("<dkim/>") + filled("<spf></spf>") + "</auth_results></record>"
	var r anyRecord
	if err := xml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	var m anyMetadata
	if err := xml.Unmarshal([]byte("<report_metadata>"+filled("<error>x</error>")+"</report_metadata>"), &m); err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{
		"reasons": len(r.Row.Evaluated.Reasons), "signatures": len(r.Auth.DKIM), "SPF": len(r.Auth.SPF), "errors": len(m.Errors),
	} {
		if n != maxList {
			t.Errorf("%d %s", n, what)
		}
	}
}
