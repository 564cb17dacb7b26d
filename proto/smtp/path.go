package smtp

import (
	"errors"
	"strings"

	"waxwing/mail"
)

// parsePath reads a Path of RFC 5321 §4.1.2 at the start of s and gives what
// follows it, which is empty or begins with white space.
func parsePath(s string, reverse bool) (a mail.Address, rest string, err error) {
	// QUIRK: people and programs put a space after the colon.
	s = strings.TrimLeft(s, " \t")
	switch {
	case s == "":
		return a, "", errors.New("address is missing")
	case s[0] == '<':
		a, rest, err = parseBracketed(s[1:], reverse)
	default:
		// QUIRK: learners and old programs leave the angle brackets out.
		path := s
		if i := strings.IndexAny(s, " \t"); i >= 0 {
			path, rest = s[:i], s[i:]
		}
		a, err = mail.ParseAddress(path)
	}
	switch {
	case err != nil:
		return mail.Address{}, "", err
	case rest != "" && rest[0] != ' ' && rest[0] != '\t':
		return mail.Address{}, "", errors.New("unexpected text after the address")
	}
	return a, rest, nil
}

// parseBracketed reads a path after its "<", up to and with its ">".
func parseBracketed(s string, reverse bool) (a mail.Address, rest string, err error) {
	if rest, ok := strings.CutPrefix(s, ">"); ok {
		if !reverse {
			return a, "", errors.New("a recipient cannot be empty")
		}
		return a, rest, nil // the null reverse-path, RFC 5321 §4.5.5
	}
	if s, err = skipRoute(s); err != nil {
		return a, "", err
	}
	local, after, err := mail.ScanLocal(s)
	if err != nil {
		return a, "", err
	}
	// "RCPT TO:<Postmaster>" needs no domain. RFC 5321 §4.1.1.3
	if rest, ok := strings.CutPrefix(after, ">"); ok && !reverse && strings.EqualFold(local, "postmaster") {
		return mail.Address{Local: local}, rest, nil
	}
	end := strings.IndexByte(after, '>')
	if end < 0 {
		return a, "", errors.New("closing bracket is missing")
	}
	end += len(s) - len(after)
	a, err = mail.ParseAddress(s[:end])
	return a, s[end+1:], err
}

// skipRoute leaves out a source route, "@one,@two:", which must be accepted
// and should be ignored. RFC 5321 §4.1.2, §F.2
func skipRoute(s string) (string, error) {
	for strings.HasPrefix(s, "@") {
		i := strings.IndexAny(s, ",:>")
		if i < 0 || s[i] == '>' {
			return "", errors.New("source route is malformed")
		}
		if _, err := mail.ParseDomain(s[1:i]); err != nil {
			return "", err
		}
		if s[i] == ':' {
			return s[i+1:], nil
		}
		s = s[i+1:]
		if !strings.HasPrefix(s, "@") {
			return "", errors.New("source route is malformed")
		}
	}
	return s, nil
}

// A path is written back in one way only.
func appendPath(dst []byte, a mail.Address) []byte {
	dst = append(dst, '<')
	return append(a.Append(dst), '>')
}
