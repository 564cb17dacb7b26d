package smtp

import (
	"strconv"
	"strings"
	"time"
)

// setBy reads by-time ";" by-mode [by-trace]. RFC 2852 §4
func setBy(m *Mail, value string, _ bool) error {
	span, mode, ok := strings.Cut(value, ";")
	digits := strings.TrimLeft(span, "+-")
	if !ok || len(digits) == 0 || len(digits) > 9 || len(span)-len(digits) > 1 || strings.Trim(digits, "0123456789") != "" {
		return errValue
	}
	n, err := strconv.ParseInt(span, 10, 64)
	if err != nil {
		return errValue
	}
	switch strings.ToUpper(mode) {
	case "N":
	case "NT":
		m.By.Trace = true
	case "R":
		m.By.Return = true
	case "RT":
		m.By.Return, m.By.Trace = true, true
	default:
		return errValue
	}
	if m.By.Return && n <= 0 {
		return errValue // RFC 2852 §4: a syntax error, 501 5.5.4
	}
	m.By.Seconds = n
	return nil
}

// setPriority reads a number from -9 to 9. RFC 6710 §7
func setPriority(m *Mail, value string, _ bool) error {
	digits := strings.TrimPrefix(value, "-")
	if len(digits) != 1 || digits[0] < '0' || digits[0] > '9' || value == "-0" {
		return errValue
	}
	m.Priority = int8(digits[0] - '0')
	if digits != value {
		m.Priority = -m.Priority
	}
	return nil
}

// setHoldFor reads a number of seconds. RFC 4865 §3
func setHoldFor(m *Mail, value string, _ bool) error {
	if len(value) == 0 || len(value) > 9 || value[0] < '1' || value[0] > '9' || strings.Trim(value, "0123456789") != "" || !m.HoldUntil.IsZero() {
		return errValue
	}
	n, err := strconv.Atoi(value)
	m.HoldFor = time.Duration(n) * time.Second
	return err
}

// setHoldUntil reads a date and time in UTC. RFC 4865 §3, RFC 3339 §5.6
func setHoldUntil(m *Mail, value string, _ bool) error {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(value))
	if err != nil || len(value) > 30 || m.HoldFor != 0 || !strings.HasSuffix(strings.ToUpper(value), "Z") {
		return errValue // one of the two only, RFC 4865 §4.2 (9)
	}
	m.HoldUntil = t
	return nil
}

func setRequireTLS(m *Mail, _ string, given bool) error {
	if given {
		return errValue // it takes no value, RFC 8689 §2
	}
	m.RequireTLS = true
	return nil
}

// setVERP reads XVERP and XVERP=+=, two delimiters that can stand in any local
// part. Postfix, VERP_README (verp_delimiter_filter)
func setVERP(m *Mail, value string, given bool) error {
	if !given {
		value = "+="
	}
	if len(value) != 2 || strings.Trim(value, "-=+") != "" {
		return errValue
	}
	m.VERP = value
	return nil
}

// maxSolicit bounds the keywords of one message. RFC 3865 §2.2
const maxSolicit = 1000

func setSolicit(m *Mail, value string, _ bool) error {
	if !IsSolicitation(value) {
		return errValue
	}
	m.Solicit = value
	return nil
}

// IsSolicitation tells whether s is a list of solicitation class keywords.
// RFC 3865 §2.2
func IsSolicitation(s string) bool {
	if len(s) > maxSolicit {
		return false
	}
	for word := range strings.SplitSeq(s, ",") {
		if word == "" || !isAlnum(word[0]) || isDigit(word[0]) {
			return false
		}
		for i := range len(word) {
			if !isAlnum(word[i]) && !strings.Contains(".-_:", word[i:i+1]) {
				return false
			}
		}
	}
	return true
}

// Solicited gives those of the keywords in a list that are also in another,
// with commas between them. They compare as they are written, but for case.
func Solicited(list, unwanted string) string {
	if list == "" || unwanted == "" {
		return ""
	}
	var found []string
	for word := range strings.SplitSeq(list, ",") {
		for bad := range strings.SplitSeq(unwanted, ",") {
			if strings.EqualFold(word, bad) {
				found = append(found, word)
				break
			}
		}
	}
	return strings.Join(found, ",")
}
