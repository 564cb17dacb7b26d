package directory

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"waxwing/mail"
)

// hostNames maps and checks the names of our own domains: UTS 46 mapping,
// then the rules of IDNA2008. RFC 5891 §5, RFC 6531 §3.2
var hostNames = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(),
	idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// lookups maps any domain that somebody asks for; what is no host name is
// simply not found.
var lookups = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// ownDomain gives the canonical form of a domain that is to be ours.
func ownDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return "", fmt.Errorf("%w: domain %s is an address literal", ErrInvalid, s)
	}
	name, err := hostNames.ToASCII(s)
	if err == nil {
		name, err = mail.ParseDomain(name)
	}
	if err != nil {
		return "", fmt.Errorf("%w: domain %q: %w", ErrInvalid, s, err)
	}
	return name, nil
}

// foldDomain gives the form under which a domain is looked up: A-labels in
// lower case. It copies nothing when that is what s is.
func foldDomain(s string) string {
	ascii, lower := asciiLower(s)
	switch {
	case !ascii:
		if name, err := lookups.ToASCII(s); err == nil {
			return name
		}
		return s
	case !lower:
		return strings.ToLower(s)
	}
	return s
}

// foldLocal gives the form in which local parts compare: lower case, NFC. As
// in RFC 8265 §3.3.2 it is lower-casing, not case folding: "ß" is not "ss".
func foldLocal(s string) string {
	ascii, lower := asciiLower(s)
	switch {
	case !ascii:
		return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
	case !lower:
		return strings.ToLower(s)
	}
	return s
}

// Fold gives the form in which addresses compare: the domain in A-labels and
// lower case, the local part in lower case and NFC. It is not for people.
func Fold(a mail.Address) mail.Address { return fold(a) }

// fold gives the address under which a name is kept and looked up.
func fold(a mail.Address) mail.Address {
	return mail.Address{Local: foldLocal(a.Local), Domain: foldDomain(a.Domain)}
}

// cutDetail splits "user+detail". A leading "+" separates nothing. RFC 5233 §4
func cutDetail(local string) (user, detail string, ok bool) {
	i := strings.IndexByte(local, '+')
	if i <= 0 {
		return local, "", false
	}
	return local[:i], local[i+1:], true
}

// ownAddress checks an address that is to stand in the directory as the name
// of an account or alias, and gives it with its domain in A-labels.
func ownAddress(a mail.Address) (mail.Address, error) {
	domain, err := ownDomain(a.Domain)
	if err != nil {
		return mail.Address{}, err
	}
	// Written and read again, it obeys all the rules of SMTP's grammar.
	a, err = mail.ParseAddress(mail.Address{Local: norm.NFC.String(a.Local), Domain: domain}.String())
	if err != nil {
		return mail.Address{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Login names arrive after NFKC (RFC 4013 §2.2), so a name that NFKC
	// changes could never be typed, and would look like another's.
	if !norm.NFKC.IsNormalString(a.Local) {
		return mail.Address{}, fmt.Errorf("%w: %s has compatibility characters", ErrInvalid, a)
	}
	return a, nil
}

// targetAddress checks an address that mail is to be led to.
func targetAddress(a mail.Address) (mail.Address, error) {
	a, err := mail.ParseAddress(a.String())
	if err != nil {
		return mail.Address{}, fmt.Errorf("%w: target: %w", ErrInvalid, err)
	}
	return a, nil
}

func asciiLower(s string) (ascii, lower bool) {
	lower = true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return false, false
		}
		if 'A' <= c && c <= 'Z' {
			lower = false
		}
	}
	return true, lower
}
