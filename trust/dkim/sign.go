package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A SigningKey is a private key and where its public half is published.
type SigningKey struct {
	Domain   string
	Selector string
	Private  crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
}

// Algorithm gives a= for a key, "" for one that cannot sign.
func (k SigningKey) Algorithm() string {
	switch k.Private.(type) {
	case *rsa.PrivateKey:
		return "rsa-sha256"
	case ed25519.PrivateKey:
		return "ed25519-sha256" // RFC 8463
	}
	return ""
}

// Record gives the TXT record to publish at Selector._domainkey.Domain.
func (k SigningKey) Record() (string, error) { return Record(k.Private.Public()) }

// signed are the fields that are signed if they are there. RFC 6376 §5.4.1
var signed = []string{
	"resent-date", "resent-from", "resent-to", "resent-cc", "resent-message-id",
	"list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe",
	"list-post", "list-owner", "list-archive", "autocrypt", "feedback-id",
	"tls-report-domain", "tls-report-submitter", // RFC 8460 §5.3
}

// oversigned are signed once more than they are there, so that none can be
// added. RFC 6376 §8.15
var oversigned = []string{
	"from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id",
	"in-reply-to", "references", "mime-version", "content-type",
	"content-transfer-encoding", "content-disposition", "content-id", "content-description",
}

// A Signer signs one message, which is written to it.
type Signer struct {
	head Head
	body *Body
}

// NewSigner gives a Signer for one message.
func NewSigner() *Signer { return &Signer{body: NewBody(Relaxed)} }

// Write takes the next octets of the message. It never fails.
func (s *Signer) Write(p []byte) (int, error) {
	n := len(p)
	p, _ = s.head.Write(p)
	s.body.Write(p)
	return n, nil
}

// Finish ends the message and gives a DKIM-Signature field for each key, with
// its line end, to be put before the header. Header and body are relaxed.
func (s *Signer) Finish(now time.Time, keys ...SigningKey) ([]byte, error) {
	s.head.End()
	if s.head.TooLarge {
		return nil, fmt.Errorf("a header of more than %d octets cannot be signed", MaxHeader)
	}
	s.body.Finish()
	hash, header := s.body.Sum(), ParseHeader(s.head.Octets)
	names := ToSign(header)
	var out []byte
	for _, k := range keys {
		field, err := k.Sign("DKIM-Signature", []string{"v=1"}, header, hash, names, now)
		if err != nil {
			return nil, err
		}
		out = append(out, field...)
	}
	return out, nil
}

// ToSign lists the fields of a header that we sign, in the order of h=.
func ToSign(h *Header) []string {
	count := make([]int, len(h.names))
	for _, f := range h.fields {
		count[f.name]++
	}
	times := func(name string) int {
		if n := h.find(name); n >= 0 {
			return count[n]
		}
		return 0
	}
	names := make([]string, 0, 2*len(oversigned))
	for _, name := range oversigned {
		for range times(name) + 1 {
			names = append(names, name)
		}
	}
	for _, name := range signed {
		for range times(name) {
			names = append(names, name)
		}
	}
	return names
}

// Sign gives a signature's field with its line end. first are tags to begin
// with, such as "v=1", names the fields that are signed, in lower case.
func (k SigningKey) Sign(name string, first []string, header *Header, bodyHash []byte, names []string, now time.Time) ([]byte, error) {
	algorithm := k.Algorithm()
	if algorithm == "" {
		return nil, errors.New("a key of an unknown type")
	}
	var f fold
	f.begin(name + ":")
	for _, tag := range first {
		f.tag(tag)
	}
	f.tag("a=" + algorithm)
	f.tag("c=relaxed/relaxed")
	f.tag("d=" + k.Domain)
	f.tag("s=" + k.Selector)
	f.tag(fmt.Sprintf("t=%d", now.Unix()))
	f.list("h=", names)
	f.text("bh=", base64.StdEncoding.EncodeToString(bodyHash))
	field, err := k.Complete(f.b, func(field []byte) []byte {
		return HeaderDigest(header, field, Signature{Header: Relaxed, Headers: names})
	})
	if err != nil {
		return nil, fmt.Errorf("sign for %s with %s: %w", k.Domain, k.Selector, err)
	}
	return field, nil
}

// Complete appends b= to a signature's field: the signature over a digest, which
// is told the field with an empty b=. The field ends with a line end then.
func (k SigningKey) Complete(field []byte, digest func(field []byte) []byte) ([]byte, error) {
	f := fold{b: append(field, ";\r\n\tb="...), column: len("\tb=")}
	sum, err := signDigest(k.Private, digest(f.b))
	if err != nil {
		return nil, err
	}
	f.break64(base64.StdEncoding.EncodeToString(sum))
	return append(f.b, crlf...), nil
}

// signDigest signs a SHA-256 digest.
func signDigest(private crypto.Signer, digest []byte) ([]byte, error) {
	if _, ok := private.(ed25519.PrivateKey); ok {
		return private.Sign(rand.Reader, digest, crypto.Hash(0)) // RFC 8463 §3: the hash is the message
	}
	return private.Sign(rand.Reader, digest, crypto.SHA256)
}

// maxColumn is where lines are folded. RFC 5322 §2.1.1
const maxColumn = 76

// A fold writes a field with folded lines.
type fold struct {
	b      []byte
	column int
	some   bool
}

func (f *fold) begin(name string) {
	f.b = append(f.b, name...)
	f.column = len(name)
}

// tag writes one tag, on a new line if need be.
func (f *fold) tag(s string) {
	if f.some {
		f.b = append(f.b, ';')
		f.column++
	}
	f.some = true
	f.word(s, " ")
}

// word writes what is not to be broken, after a space or a line end.
func (f *fold) word(s, space string) {
	if f.column+len(space)+len(s) > maxColumn {
		f.b = append(f.b, "\r\n\t"...)
		f.column = 1
	} else {
		f.b = append(f.b, space...)
		f.column += len(space)
	}
	f.b = append(f.b, s...)
	f.column += len(s)
}

// list writes a tag with names and colons between them.
func (f *fold) list(tag string, names []string) {
	f.tag(tag + names[0])
	for _, name := range names[1:] {
		f.b = append(f.b, ':')
		f.column++
		f.word(name, "")
	}
}

// text writes a tag whose value may be broken anywhere.
func (f *fold) text(tag, value string) {
	f.tag(tag)
	f.break64(value)
}

func (f *fold) break64(s string) {
	for s != "" {
		if f.column >= maxColumn {
			f.b = append(f.b, "\r\n\t"...)
			f.column = 1
		}
		n := min(len(s), maxColumn-f.column)
		f.b = append(f.b, s[:n]...)
		f.column += n
		s = s[n:]
	}
}

// Record gives the TXT record that publishes a key. RFC 6376 §3.6.1,
// RFC 8463 §4
func Record(public crypto.PublicKey) (string, error) {
	var b strings.Builder
	b.WriteString("v=DKIM1; k=")
	octets, err := encodePublic(public)
	if err != nil {
		return "", err
	}
	if _, ok := public.(ed25519.PublicKey); ok {
		b.WriteString("ed25519")
	} else {
		b.WriteString("rsa")
	}
	b.WriteString("; p=" + base64.StdEncoding.EncodeToString(octets))
	return b.String(), nil
}
