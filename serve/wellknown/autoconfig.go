package wellknown

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// A clientConfig is Thunderbird's file of settings, version 1.1:
// https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat
type clientConfig struct {
	XMLName  xml.Name      `xml:"clientConfig"`
	Version  string        `xml:"version,attr"`
	Provider emailProvider `xml:"emailProvider"`
}

type emailProvider struct {
	ID        string         `xml:"id,attr"`
	Domain    string         `xml:"domain"`
	Name      string         `xml:"displayName"`
	ShortName string         `xml:"displayShortName"`
	Incoming  []serverConfig `xml:"incomingServer"`
	Outgoing  []serverConfig `xml:"outgoingServer"`
}

type serverConfig struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           int    `xml:"port"`
	SocketType     string `xml:"socketType"`
	Username       string `xml:"username"`
	Authentication string `xml:"authentication"`
}

// autoconfig serves the settings for the domain of the request's host, or, where
// that is ours itself, of the address in the query. What stands before the @ is
// not looked at.
func (d door) autoconfig(w http.ResponseWriter, r *http.Request) {
	domain, ok := d.local(r.Context(), strings.TrimPrefix(host(r), AutoconfigHost))
	if !ok {
		_, name, _ := strings.Cut(r.URL.Query().Get("emailaddress"), "@")
		if domain, ok = d.local(r.Context(), name); !ok {
			http.NotFound(w, r)
			return
		}
	}
	text, err := xml.MarshalIndent(d.clientConfig(domain), "", "  ")
	if err != nil {
		http.Error(w, "server trouble", http.StatusInternalServerError)
		return
	}
	answer(w, "text/xml; charset=utf-8", xml.Header+string(text)+"\n")
}

func (d door) clientConfig(domain string) clientConfig {
	p := emailProvider{ID: domain, Domain: domain, Name: domain, ShortName: domain}
	for _, s := range d.o.Services {
		c := serverConfig{
			Type: s.Type, Hostname: d.o.Host, Port: s.Port, SocketType: "SSL",
			Username: "%EMAILADDRESS%", Authentication: "password-cleartext", // within TLS
		}
		if s.STARTTLS {
			c.SocketType = "STARTTLS"
		}
		if s.Type == "smtp" {
			p.Outgoing = append(p.Outgoing, c)
		} else {
			p.Incoming = append(p.Incoming, c)
		}
	}
	return clientConfig{Version: "1.1", Provider: p}
}
