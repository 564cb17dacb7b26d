package wellknown

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"waxwing/mail"
)

// domains are ours; the one that is called "broken" cannot be looked up.
type domains []string

func (d domains) IsLocal(_ context.Context, name string) (bool, error) {
	if name == "broken.example" {
		return true, errors.New("the store does not answer")
	}
	for _, domain := range d {
		if domain == name {
			return true, nil
		}
	}
	return false, nil
}

func handler() http.Handler {
	return Handler(Options{
		Domains: domains{"example.org", "off.example"}, Host: "mx.example.net",
		Policy: func(domain string) string {
			if domain == "off.example" {
				return ""
			}
			return "version: STSv1\r\nmode: testing\r\nmx: mx.example.net\r\nmax_age: 86400\r\n"
		},
		Services: []Service{{"imap", 993, false}, {"imap", 143, true}, {"pop3", 995, false}, {"smtp", 465, false}, {"smtp", 587, true}},
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
}

func ask(method, url, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, httptest.NewRequest(method, url, strings.NewReader(body)))
	return w
}

func TestPolicy(t *testing.T) {
	for url, want := range map[string]int{
		"https://mta-sts.example.org/.well-known/mta-sts.txt":      http.StatusOK,
		"https://MTA-STS.Example.ORG.:443/.well-known/mta-sts.txt": http.StatusOK,
		"https://example.org/.well-known/mta-sts.txt":              http.StatusNotFound,
		"https://mta-sts.off.example/.well-known/mta-sts.txt":      http.StatusNotFound,
		"https://mta-sts.other.example/.well-known/mta-sts.txt":    http.StatusNotFound,
		"https://mta-sts.broken.example/.well-known/mta-sts.txt":   http.StatusNotFound,
		"https://mta-sts./.well-known/mta-sts.txt":                 http.StatusNotFound,
		"https://mta-sts.example.org/":                             http.StatusTeapot,
		"https://mta-sts.example.org/.well-known/other":            http.StatusTeapot,
	} {
		w := ask("GET", url, "")
		if w.Code != want {
			t.Errorf("%s: %d, want %d", url, w.Code, want)
		}
		if w.Code == http.StatusOK && (!strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !strings.HasPrefix(w.Body.String(), "version: STSv1\r\n")) {
			t.Errorf("%s: %v %q", url, w.Header(), w.Body)
		}
	}
}

func TestAutoconfig(t *testing.T) {
	for url, want := range map[string]int{
		"https://autoconfig.example.org/mail/config-v1.1.xml?emailaddress=ann%40example.org":            http.StatusOK,
		"https://autoconfig.example.org/mail/config-v1.1.xml?emailaddress=nobody%40example.org":         http.StatusOK,
		"https://autoconfig.example.org/mail/config-v1.1.xml":                                           http.StatusOK,
		"https://example.org/.well-known/autoconfig/mail/config-v1.1.xml":                               http.StatusOK,
		"https://mx.example.net/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a@example.org": http.StatusOK,
		"https://mx.example.net/.well-known/autoconfig/mail/config-v1.1.xml":                            http.StatusNotFound,
		"https://autoconfig.other.example/mail/config-v1.1.xml":                                         http.StatusNotFound,
	} {
		w := ask("GET", url, "")
		if w.Code != want {
			t.Errorf("%s: %d, want %d", url, w.Code, want)
		}
		if w.Code != http.StatusOK {
			continue
		}
		var c clientConfig
		if err := xml.Unmarshal(w.Body.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		p := c.Provider
		if p.Domain != "example.org" || len(p.Incoming) != 3 || len(p.Outgoing) != 2 {
			t.Errorf("%s: %+v", url, p)
			continue
		}
		if p.Incoming[0] != (serverConfig{"imap", "mx.example.net", 993, "SSL", "%EMAILADDRESS%", "password-cleartext"}) || p.Outgoing[1].SocketType != "STARTTLS" {
			t.Errorf("%s: %+v", url, p)
		}
	}
}

const outlookAsks = `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
<Request><EMailAddress>%</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>`

// Outlook's question is answered the same for whoever is asked about: the
// answer differs in the address alone, which came with the question.
func TestAutodiscover(t *testing.T) {
	answerFor := func(address string) string {
		w := ask("POST", "https://autodiscover.example.org/Autodiscover/Autodiscover.xml", strings.Replace(outlookAsks, "%", address, 1))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/xml") {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		return w.Body.String()
	}
	ann := answerFor("ann@example.org")
	for _, want := range []string{
		"<Type>IMAP</Type>", "<Server>mx.example.net</Server>", "<Port>993</Port>", "<LoginName>ann@example.org</LoginName>",
		"<Encryption>TLS</Encryption>", "<Action>settings</Action>", `xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"`,
	} {
		if !strings.Contains(ann, want) {
			t.Errorf("no %s in %s", want, ann)
		}
	}
	if nobody := answerFor("nobody@example.org"); strings.ReplaceAll(nobody, "nobody@", "ann@") != ann {
		t.Errorf("another answer:\n%s", nobody)
	}
	for body, want := range map[string]string{
		strings.Replace(outlookAsks, "%", "ann@other.example", 1): "<ErrorCode>500</ErrorCode>",
		strings.Replace(outlookAsks, "%", "&lt;script&gt;", 1):    "<ErrorCode>600</ErrorCode>",
		strings.Replace(strings.Replace(outlookAsks, "%", "ann@example.org", 1), "outlook/responseschema/2006a", "mobilesync/responseschema/2006", 1): "<ErrorCode>601</ErrorCode>",
		"":       "<ErrorCode>600</ErrorCode>",
		"<a><b>": "<ErrorCode>600</ErrorCode>",
		`<!DOCTYPE a [<!ENTITY x "xxxx">]><Autodiscover><Request><EMailAddress>&x;@example.org</EMailAddress></Request></Autodiscover>`: "<ErrorCode>600</ErrorCode>",
		"<Autodiscover><Request>" + strings.Repeat(" ", maxQuestion) + "</Request></Autodiscover>":                                      "<ErrorCode>600</ErrorCode>",
	} {
		w := ask("POST", "https://mx.example.net/autodiscover/autodiscover.xml", body)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.80q: %d %s", body, w.Code, w.Body)
		}
	}
	if w := ask("GET", "https://mx.example.net/autodiscover/autodiscover.xml", ""); w.Code != http.StatusTeapot {
		t.Errorf("GET: %d", w.Code)
	}
}

// What is taken for an address is one.
func FuzzQuestion(f *testing.F) {
	f.Add(strings.Replace(outlookAsks, "%", "ann@example.org", 1))
	f.Add("<Autodiscover><Request><EMailAddress>a@b</EMailAddress></Request></Autodiscover>")
	f.Fuzz(func(t *testing.T, text string) {
		address, _, err := parseQuestion(strings.NewReader(text))
		if err != nil {
			return
		}
		if again, err := mail.ParseAddress(address.String()); err != nil || again != address {
			t.Fatalf("%q -> %v, %v", text, again, err)
		}
	})
}
