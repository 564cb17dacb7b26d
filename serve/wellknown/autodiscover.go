package wellknown

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"time"

	"waxwing/mail"
)

// autodiscoverPath is where Outlook asks. MS-OXDSCLI §3.1.5
const autodiscoverPath = "/autodiscover/autodiscover.xml"

// maxQuestion bounds what Outlook sends; it is a few hundred octets.
const maxQuestion = 16 << 10

// outlookSchema is that of the answers that Outlook wants. MS-OXDSCLI §2.2.2.1.1.2
const outlookSchema = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

// A question is Outlook's.
type question struct {
	XMLName xml.Name `xml:"Autodiscover"`
	Request struct {
		Address string `xml:"EMailAddress"`
		Schema  string `xml:"AcceptableResponseSchema"`
	} `xml:"Request"`
}

// parseQuestion reads what is asked: the account's address, and whether Outlook's
// answer is wanted, the only one that we have. Phones ask for ActiveSync in the
// same form.
func parseQuestion(r io.Reader) (address mail.Address, outlook bool, err error) {
	var q question
	if err := xml.NewDecoder(r).Decode(&q); err != nil {
		return mail.Address{}, false, err
	}
	if q.Request.Address == "" {
		return mail.Address{}, false, errors.New("no address")
	}
	address, err = mail.ParseAddress(q.Request.Address)
	return address, q.Request.Schema == "" || q.Request.Schema == outlookSchema, err
}

type autodiscoverAnswer struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response any      `xml:"Response"`
}

type outlookResponse struct {
	XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
	Account outlookAccount
}

type outlookAccount struct {
	AccountType string
	Action      string
	Protocol    []outlookProtocol
}

type outlookProtocol struct {
	Type           string
	Server         string
	Port           int
	DomainRequired string
	LoginName      string
	SPA            string // whether Windows' own authentication is used
	SSL            string
	Encryption     string
	AuthRequired   string
}

type refusal struct {
	XMLName xml.Name `xml:"Response"`
	Error   struct {
		Time      string `xml:"Time,attr"`
		ID        string `xml:"Id,attr"`
		ErrorCode int
		Message   string
		DebugData string
	}
}

// autodiscover answers Outlook. Whether there is such an account is not looked
// up: only the domain counts.
func (d door) autodiscover(w http.ResponseWriter, r *http.Request) {
	address, outlook, err := parseQuestion(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		d.discovered(w, refuse(600, "Invalid Request"))
		return
	}
	domain, ours := d.local(r.Context(), address.Domain)
	switch {
	case !ours:
		d.discovered(w, refuse(500, "The e-mail address cannot be found."))
	case !outlook:
		d.discovered(w, refuse(601, "Provider is not available"))
	default:
		address.Domain = domain
		d.discovered(w, d.outlook(address))
	}
}

// refuse makes an answer that says no. MS-OXDSCLI §2.2.4.1.1.4
func refuse(code int, why string) refusal {
	var e refusal
	e.Error.Time, e.Error.ID = time.Now().UTC().Format("15:04:05.0000000"), "0"
	e.Error.ErrorCode, e.Error.Message = code, why
	return e
}

// outlook gives the settings of an account. MS-OXDSCLI §2.2.4.1.1.2
func (d door) outlook(address mail.Address) outlookResponse {
	a := outlookAccount{AccountType: "email", Action: "settings"}
	for _, s := range d.o.Services {
		p := outlookProtocol{
			Type: map[string]string{"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}[s.Type], Server: d.o.Host, Port: s.Port,
			DomainRequired: "off", LoginName: address.String(), SPA: "off", SSL: "on", Encryption: "SSL", AuthRequired: "on",
		}
		if s.STARTTLS {
			p.Encryption = "TLS" // which overrides SSL
		}
		a.Protocol = append(a.Protocol, p)
	}
	return outlookResponse{Account: a}
}

// discovered sends an answer.
func (d door) discovered(w http.ResponseWriter, response any) {
	text, err := xml.MarshalIndent(autodiscoverAnswer{Response: response}, "", "  ")
	if err != nil {
		http.Error(w, "server trouble", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/xml; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(xml.Header + string(text) + "\n"))
}
