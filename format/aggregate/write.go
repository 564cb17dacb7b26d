package aggregate

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"io"
)

// Namespace is that of the elements. RFC 9990 §6.1
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// The elements, in the order that RFC 9990 §3.1.1 wants.
type (
	xmlFeedback struct {
		XMLName  xml.Name    `xml:"urn:ietf:params:xml:ns:dmarc-2.0 feedback"`
		Version  string      `xml:"version"`
		Metadata xmlMetadata `xml:"report_metadata"`
		Policy   xmlPolicy   `xml:"policy_published"`
		Records  []xmlRecord `xml:"record"`
	}
	xmlMetadata struct {
		Org       string   `xml:"org_name"`
		Email     string   `xml:"email"`
		Contact   string   `xml:"extra_contact_info,omitempty"`
		ID        string   `xml:"report_id"`
		Range     xmlRange `xml:"date_range"`
		Errors    []string `xml:"error,omitempty"`
		Generator string   `xml:"generator,omitempty"`
	}
	xmlRange struct {
		Begin int64 `xml:"begin"`
		End   int64 `xml:"end"`
	}
	xmlPolicy struct {
		Domain    string `xml:"domain"`
		Discovery string `xml:"discovery_method,omitempty"`
		P         string `xml:"p"`
		SP        string `xml:"sp,omitempty"`
		NP        string `xml:"np,omitempty"`
		FO        string `xml:"fo,omitempty"`
		ADKIM     string `xml:"adkim,omitempty"`
		ASPF      string `xml:"aspf,omitempty"`
		Testing   string `xml:"testing,omitempty"`
	}
	xmlRecord struct {
		Row         xmlRow         `xml:"row"`
		Identifiers xmlIdentifiers `xml:"identifiers"`
		Auth        xmlAuth        `xml:"auth_results"`
	}
	xmlRow struct {
		Source    string       `xml:"source_ip"`
		Count     uint64       `xml:"count"`
		Evaluated xmlEvaluated `xml:"policy_evaluated"`
	}
	xmlEvaluated struct {
		Disposition string      `xml:"disposition"`
		DKIM        string      `xml:"dkim"`
		SPF         string      `xml:"spf"`
		Reasons     []xmlReason `xml:"reason,omitempty"`
	}
	xmlReason struct {
		Type    string `xml:"type"`
		Comment string `xml:"comment,omitempty"`
	}
	xmlIdentifiers struct {
		HeaderFrom   string `xml:"header_from"`
		EnvelopeFrom string `xml:"envelope_from"` // empty for the null sender
		EnvelopeTo   string `xml:"envelope_to,omitempty"`
	}
	xmlAuth struct {
		DKIM []xmlDKIM `xml:"dkim,omitempty"`
		SPF  []xmlSPF  `xml:"spf,omitempty"`
	}
	xmlDKIM struct {
		Domain   string `xml:"domain"`
		Selector string `xml:"selector"`
		Result   string `xml:"result"`
		Text     string `xml:"human_result,omitempty"`
	}
	xmlSPF struct {
		Domain string `xml:"domain"`
		Scope  string `xml:"scope,omitempty"`
		Result string `xml:"result"`
		Text   string `xml:"human_result,omitempty"`
	}
)

// XML writes the report.
func (r *Report) XML(w io.Writer) error {
	f := xmlFeedback{
		Version: "1.0",
		Metadata: xmlMetadata{
			Org: r.Org, Email: r.Email, Contact: r.Contact, ID: r.ID, Range: xmlRange{r.Begin.Unix(), r.End.Unix()},
			Errors: r.Errors, Generator: r.Generator,
		},
		Policy: xmlPolicy{
			Domain: r.Policy.Domain, Discovery: r.Policy.Discovery, P: r.Policy.P, SP: r.Policy.SP, NP: r.Policy.NP,
			FO: r.Policy.FO, ADKIM: r.Policy.ADKIM, ASPF: r.Policy.ASPF, Testing: r.Policy.Testing,
		},
	}
	for i := range r.Records {
		f.Records = append(f.Records, r.Records[i].element())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(f); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Record) element() xmlRecord {
	e := xmlRecord{
		Row: xmlRow{Source: r.Source.String(), Count: r.Count, Evaluated: xmlEvaluated{
			Disposition: string(r.Disposition), DKIM: passed(r.DKIM), SPF: passed(r.SPF),
		}},
		Identifiers: xmlIdentifiers{r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo},
	}
	for _, reason := range r.Reasons {
		e.Row.Evaluated.Reasons = append(e.Row.Evaluated.Reasons, xmlReason(reason))
	}
	for _, d := range r.AuthDKIM {
		e.Auth.DKIM = append(e.Auth.DKIM, xmlDKIM(d))
	}
	for _, s := range r.AuthSPF {
		e.Auth.SPF = append(e.Auth.SPF, xmlSPF(s))
	}
	return e
}

func passed(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

// Compressed gives the report as it travels: XML in gzip. RFC 9990 §3.5.2
func (r *Report) Compressed() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := r.XML(z); err != nil {
		return nil, err
	}
	err := z.Close()
	return out.Bytes(), err
}
