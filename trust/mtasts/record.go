package mtasts

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoRecord says that a domain has no record of MTA-STS.
var ErrNoRecord = errors.New("no MTA-STS record")

// RecordName is where the record of a domain is. RFC 8461 §3.1
func RecordName(domain string) string { return "_mta-sts." + domain }

// ParseRecord finds the one record of MTA-STS among the TXT records of
// RecordName, and gives its id. Without one, or with several, there is no
// policy: the error wraps ErrNoRecord in the first case. RFC 8461 §3.1
func ParseRecord(records []string) (id string, err error) {
	var own []string
	for _, r := range records {
		first, _, more := strings.Cut(r, ";")
		if more && strings.TrimRight(first, " \t") == "v=STSv1" {
			own = append(own, r)
		}
	}
	switch {
	case len(own) == 0:
		return "", ErrNoRecord
	case len(own) > 1:
		return "", fmt.Errorf("there are %d MTA-STS records, and one may be", len(own))
	}
	fields := strings.Split(own[0], ";")
	for i, field := range fields[1:] {
		field = strings.Trim(field, " \t")
		if field == "" && i == len(fields)-2 {
			continue // behind the last semicolon
		}
		name, value, ok := strings.Cut(field, "=")
		switch {
		case !ok || !isName(name) || !isValue(value):
			return "", fmt.Errorf("%q in the MTA-STS record is not name=value", clip(field))
		case name != "id" || id != "":
		case len(value) > 32 || strings.ContainsFunc(value, func(r rune) bool { return !isAlnum(byte(r)) }):
			return "", fmt.Errorf("the id %q in the MTA-STS record is not of 1 to 32 letters and digits", clip(value))
		default:
			id = value
		}
	}
	if id == "" {
		return "", errors.New("the MTA-STS record has no id")
	}
	return id, nil
}

// isName: sts-ext-name of RFC 8461 §3.1.
func isName(s string) bool {
	if s == "" || len(s) > 32 || !isAlnum(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.Contains("_-.", s[i:i+1]) {
			return false
		}
	}
	return true
}

// isValue: sts-ext-value of RFC 8461 §3.1.
func isValue(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == '=' || s[i] == ';' {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// clip shortens a stranger's words.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
