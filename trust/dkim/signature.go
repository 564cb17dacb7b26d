package dkim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// A Signature is a DKIM-Signature field. RFC 6376 §3.5
type Signature struct {
	Algorithm string // a=, "rsa-sha256" or another
	Sum       []byte // b=
	Mark      string // the beginning of b=. RFC 6008 §4
	BodyHash  []byte // bh=
	Header    Form   // c=
	Body      Form
	Domain    string   // d=, lower case, A-labels
	Headers   []string // h=, lower case
	Identity  string   // i=
	Length    int64    // l=, -1 without
	Selector  string   // s=, lower case, A-labels
	Signed    time.Time
	Expires   time.Time
}

// ParseSignature reads the value of a DKIM-Signature field. What it gives with
// an error says whose signature that was, as far as it could be read.
func ParseSignature(value string) (Signature, error) {
	tags, err := ParseTags(value)
	if err != nil {
		return Signature{}, err
	}
	s, err := FromTags(tags)
	if err != nil {
		return s, err
	}
	if v, _ := tags.Get("v"); v != "1" {
		return s, fmt.Errorf("version %q is not known", short(v))
	}
	return s, s.identify(tags)
}

// Acceptable checks what can be seen of a signature without key and body.
func (s Signature) Acceptable() error {
	switch s.Algorithm {
	case "rsa-sha256", "ed25519-sha256":
	case "rsa-sha1":
		return fmt.Errorf("%w: SHA-1", ErrWeak) // RFC 8301 §3.1
	default:
		return fmt.Errorf("algorithm %q is not known", short(s.Algorithm))
	}
	if !slices.Contains(s.Headers, "from") {
		return errors.New("the From field is not signed") // RFC 6376 §5.4
	}
	return nil
}

// FromTags takes from a list what DKIM-Signature and ARC-Message-Signature
// have in common: all but v= and i=.
func FromTags(tags Tags) (Signature, error) {
	s := Signature{Length: -1}
	var a, b, bh, c, d, h, sel string
	for _, tag := range tags {
		switch tag.Name {
		case "a":
			a = tag.Value
		case "b":
			b = tag.Value
		case "bh":
			bh = tag.Value
		case "c":
			c = tag.Value
		case "d":
			d = tag.Value
		case "h":
			h = tag.Value
		case "s":
			sel = tag.Value
		}
	}
	s.Mark = beginning64(b)
	s.Domain, s.Selector, s.Algorithm = canonicalName(d), canonicalName(sel), strings.ToLower(a)
	for _, must := range [...]Tag{{"a", a}, {"b", b}, {"bh", bh}, {"d", d}, {"h", h}, {"s", sel}} {
		if must.Value == "" {
			return s, fmt.Errorf("tag %s is missing", must.Name)
		}
	}
	if !lookable(s.Selector, s.Domain) {
		return s, errors.New("the domain or the selector is not a name")
	}
	var err error
	if s.Sum, err = decodeBase64(b); err != nil {
		return s, errors.New("tag b is not base64")
	}
	if s.BodyHash, err = decodeBase64(bh); err != nil {
		return s, errors.New("tag bh is not base64")
	}
	if s.Header, s.Body, err = parseForms(c); err != nil {
		return s, err
	}
	names := lower(h)
	s.Headers = make([]string, 0, strings.Count(names, ":")+1)
	for name := range strings.SplitSeq(names, ":") {
		if name == "" {
			return s, errors.New("an empty name in tag h")
		}
		s.Headers = append(s.Headers, name)
	}
	if q, ok := tags.Get("q"); ok && !queriesDNS(q) {
		return s, errors.New("the key is not in the DNS")
	}
	return s, s.parseNumbers(tags)
}

// beginning64 gives what tells signatures of one domain apart. RFC 6008 §4
func beginning64(sum string) string {
	b := make([]byte, 0, 8)
	for i := 0; i < len(sum) && len(b) < cap(b); i++ {
		if !isSpace(sum[i]) {
			b = append(b, sum[i])
		}
	}
	return string(b)
}

// queriesDNS reports whether a list of query methods has the one there is.
// RFC 6376 §3.5, q=
func queriesDNS(list string) bool {
	for method := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(trim(method), "dns/txt") {
			return true
		}
	}
	return false
}

// parseForms reads c=, whose default is simple for both. RFC 6376 §3.5
func parseForms(c string) (header, body Form, err error) {
	h, b, _ := strings.Cut(strings.ToLower(c), "/")
	if header, err = parseForm(h); err == nil {
		body, err = parseForm(b)
	}
	return header, body, err
}

func parseForm(s string) (Form, error) {
	switch s {
	case "", "simple":
		return Simple, nil
	case "relaxed":
		return Relaxed, nil
	}
	return Simple, fmt.Errorf("canonicalization %q is not known", short(s))
}

// parseNumbers reads l=, t= and x=.
func (s *Signature) parseNumbers(tags Tags) error {
	if l, ok := tags.Get("l"); ok {
		n, err := strconv.ParseUint(l, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return errors.New("tag l is not a number")
		}
		s.Length = int64(n) // beyond all messages if it was out of range
	}
	for _, at := range []struct {
		name string
		to   *time.Time
	}{{"t", &s.Signed}, {"x", &s.Expires}} {
		if v, ok := tags.Get(at.name); ok {
			n, err := strconv.ParseUint(v, 10, 40) // RFC 6376 §3.5: 12 digits must do
			if err != nil {
				return fmt.Errorf("tag %s is not a time", at.name)
			}
			*at.to = time.Unix(int64(n), 0)
		}
	}
	if !s.Expires.IsZero() && !s.Signed.IsZero() && s.Expires.Before(s.Signed) {
		return errors.New("it expires before it was made")
	}
	return nil
}

// identify reads i=, which must lie in the domain. RFC 6376 §3.5
func (s *Signature) identify(tags Tags) error {
	s.Identity = "@" + s.Domain
	i, ok := tags.Get("i")
	if !ok {
		return nil
	}
	at := strings.LastIndexByte(i, '@')
	if at < 0 {
		return errors.New("tag i is not an address")
	}
	domain := canonicalName(i[at+1:])
	if domain != s.Domain && !strings.HasSuffix(domain, "."+s.Domain) {
		return errors.New("tag i lies outside the domain")
	}
	s.Identity = i[:at+1] + domain
	return nil
}

// canonicalName gives a name in lower case with A-labels. RFC 8616 §5
func canonicalName(s string) string {
	s = strings.TrimSuffix(s, ".")
	for i := range len(s) {
		if s[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(s); err == nil {
				return a
			}
			break
		}
	}
	return strings.ToLower(s)
}

// keysBelow stands between a selector and the domain. RFC 6376 §3.6.2.1
const keysBelow = "._domainkey."

// lookable reports whether the key of a selector can be asked for.
func lookable(selector, domain string) bool {
	return len(selector)+len(keysBelow)+len(domain) <= 253 && hasLabels(selector) && hasLabels(domain)
}

// hasLabels reports whether a name has labels of visible ASCII.
func hasLabels(name string) bool {
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		case c <= ' ' || c >= 0x7f || label == 63:
			return false
		default:
			label++
		}
	}
	return label > 0
}
