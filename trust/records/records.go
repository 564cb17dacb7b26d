// Package records says which records a domain needs in the DNS so that its mail
// arrives, is believed by others and is found by mail programs, and compares
// them with what the DNS has.
//
//	records.go  what a domain needs
//	policy.go   what makes an MTA-STS policy known
//	check.go    what the DNS has of it, and what is to be mended
//	judge.go    how records are compared that may differ and be right
//	tls.go      the same of those about TLS: TLSA, MTA-STS, names of ours
//
// It publishes nothing: that is the operator's to do.
package records

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"waxwing/trust/mtasts"
)

// A Record is one record that is to be published.
type Record struct {
	Name string // with the dot at its end
	Type string // such as "MX"
	Data string // as in a zone file
	Why  string // what it is for, in words

	// Optional says that mail arrives and is believed without it.
	Optional bool

	kind    kind
	use     KeyUse // of the key in a TLSA record
	foreign bool   // the same of TLSKey
}

// A kind is how a record is compared.
type kind uint8

const (
	exact kind = iota
	mx
	address
	spfRecord
	helo
	dkimKey
	dmarcRecord
	tlsReports
	tlsa
	stsRecord
	alias
)

// A Key is a key that signs, or has signed, or will.
type Key struct {
	Selector string
	Record   string
	// State in words, such as "signs".
	State string
	// Retired says that it signs no more.
	Retired bool
}

// A Domain is what there is to publish about.
type Domain struct {
	Name string // of the domain
	Host string // of the server
	// Addresses are those of the server that the world can reach, as far as
	// they are known.
	Addresses []netip.Addr
	Keys      []Key
	// TLSKeys are the keys of the server's certificates.
	TLSKeys []TLSKey
	// Chain is what the server shows to other servers on port 25; empty if it
	// is not known.
	Chain []*x509.Certificate
	// Policy is the MTA-STS policy that is served; the zero value for none.
	Policy mtasts.Policy
	// DMARCTo and TLSTo are the local parts of the addresses that others report
	// to; "" for postmaster.
	DMARCTo, TLSTo string
	// Autoconfig says that autoconfig.DOMAIN is served.
	Autoconfig bool
	// Services are the ports of the services for mail programs, by their names
	// in SRV records.
	Services []Service
}

// A Service is one that mail programs look for. RFC 6186, RFC 8314 §5.1
type Service struct {
	Name     string // such as "imaps"
	Port     int
	Priority int // those with less are preferred
}

// A TLSKey is a key of the server's certificates, or will be.
type TLSKey struct {
	SPKI  []byte // the public key as certificates hold it, in DER
	State string // in words, such as "the key in use"
	Use   KeyUse
	// Foreign says that it comes with a certificate that others renew: nobody here
	// makes the next, or sees to it that its record is there in time.
	Foreign bool
}

// A KeyUse says what a TLSKey is to the certificates.
type KeyUse uint8

// The uses.
const (
	InUse KeyUse = iota
	Next         // of a certificate to come
)

// For lists the records that a domain needs, those that matter most first.
func For(d Domain) []Record {
	domain, host := zoneName(d.Name), zoneName(d.Host)
	list := []Record{
		{Name: domain, Type: "MX", Data: "10 " + host, Why: "brings the domain's mail to this server", kind: mx},
		{Name: domain, Type: "TXT", Data: Quote("v=spf1 mx -all"), Why: "SPF: only this server may send in the domain's name", kind: spfRecord}, // RFC 7208 §5.4
	}
	for _, ip := range d.Addresses {
		kind := "AAAA"
		if ip.Unmap().Is4() {
			kind = "A"
		}
		list = append(list, Record{Name: host, Type: kind, Data: ip.Unmap().String(), Why: "the server's address", kind: address})
	}
	if domain != host {
		// For bounces, which have no sender but the host. RFC 7208 §2.4
		list = append(list, Record{Name: host, Type: "TXT", Data: Quote("v=spf1 a -all"), Why: "SPF: bounces come from the server itself", kind: helo})
	}
	for _, k := range d.Keys {
		list = append(list, Record{
			Name: k.Selector + "._domainkey." + domain, Type: "TXT", Data: Quote(k.Record), Why: "DKIM: " + k.State, Optional: k.Retired, kind: dkimKey,
		})
	}
	list = append(list,
		Record{Name: "_dmarc." + domain, Type: "TXT", Data: Quote("v=DMARC1; p=quarantine; rua=mailto:" + cmp.Or(d.DMARCTo, "postmaster") + "@" + strings.TrimSuffix(domain, ".")),
			Why: "DMARC: others set mail aside that only claims to be yours, and report about it", kind: dmarcRecord}, // RFC 9989 §4.7
		Record{Name: "_smtp._tls." + domain, Type: "TXT", Data: Quote("v=TLSRPTv1; rua=mailto:" + cmp.Or(d.TLSTo, "postmaster") + "@" + strings.TrimSuffix(domain, ".")),
			Why: "TLSRPT: others report when they cannot reach you encrypted", Optional: true, kind: tlsReports}, // RFC 8460 §3
	)
	list = append(list, d.policyRecords(domain, host)...)
	for _, k := range d.TLSKeys {
		list = append(list, Record{Name: "_25._tcp." + host, Type: "TLSA", Data: TLSA(k.SPKI), Optional: true, kind: tlsa, use: k.Use, foreign: k.Foreign,
			Why: "DANE: " + k.State + "; counts only in a zone that is signed with DNSSEC"})
	}
	if d.Autoconfig {
		list = append(list, Record{Name: "autoconfig." + domain, Type: "CNAME", Data: host, Optional: true, kind: alias,
			Why: "mail programs find their settings"})
	}
	for _, s := range d.Services {
		list = append(list, Record{Name: "_" + s.Name + "._tcp." + domain, Type: "SRV", Data: fmt.Sprintf("%d 1 %d %s", s.Priority, s.Port, host), Optional: true,
			Why: "mail programs find the server"})
	}
	return list
}

// TLSA gives the data of the record "3 1 1" of a public key: its hash.
// RFC 7672 §3.1.1
func TLSA(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "3 1 1 " + hex.EncodeToString(sum[:])
}

// zoneName is a name as zone files hold it. RFC 5890 §2.3.2.1
func zoneName(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		name = ascii
	}
	return name + "."
}

// maxString is how long one string of a TXT record may be. RFC 1035 §3.3
const maxString = 255

// Quote writes a text as the strings of a TXT record in a zone file.
func Quote(text string) string {
	var b strings.Builder
	for first := true; first || text != ""; first = false {
		if !first {
			b.WriteByte(' ')
		}
		n := min(len(text), maxString)
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text[:n]))
		b.WriteByte('"')
		text = text[n:]
	}
	return b.String()
}

// Line gives a record as a zone file holds it. It fits whatever zone: the name
// is absolute.
func (r Record) Line() string { return r.Name + "\tIN\t" + r.Type + "\t" + r.Data }
