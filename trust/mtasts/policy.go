package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Mode says what follows when a host is not as the policy says.
type Mode string

// The modes. RFC 8461 §5
const (
	Enforce Mode = "enforce" // no mail goes there
	Testing Mode = "testing" // mail goes, and it is reported
	None    Mode = "none"    // as if there were no policy
)

// Limits of a policy. RFC 8461 §3.2, §3.3
const (
	MaxSize = 64 << 10 // octets, as it is fetched
	MaxAge  = 31557600 * time.Second
	// maxHosts is how many patterns a policy may have: more than anybody needs,
	// and few enough to be kept.
	maxHosts = 200
)

// A Policy is what a domain demands of those who bring it mail. The zero value
// is no policy.
type Policy struct {
	Mode Mode
	// MX are the hosts that take the domain's mail: names in lower case, of
	// which the first label may be "*".
	MX []string
	// MaxAge is for how long it holds.
	MaxAge time.Duration
}

// ParsePolicy reads a policy. Fields that are not known are ignored, and so is
// what is said again. RFC 8461 §3.2
func ParsePolicy(text []byte) (Policy, error) {
	if len(text) > MaxSize {
		return Policy{}, fmt.Errorf("the policy has more than %d octets", MaxSize)
	}
	var p Policy
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" {
			continue // QUIRK: empty lines are not in the grammar, and in the field
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !isName(name) || !isText(value) {
			return Policy{}, fmt.Errorf("line %q of the policy is not name: value", clip(line))
		}
		if seen[name] && name != "mx" {
			continue
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return Policy{}, err
		}
	}
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return Policy{}, fmt.Errorf("the policy does not say %q", name)
		}
	}
	if p.Mode != None && len(p.MX) == 0 {
		return Policy{}, errors.New("the policy names no mx")
	}
	return p, nil
}

// set takes one field.
func (p *Policy) set(name, value string) error {
	switch name {
	case "version":
		if value != "STSv1" {
			return fmt.Errorf("version %q of the policy is not STSv1", clip(value))
		}
	case "mode":
		if p.Mode = Mode(value); p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return fmt.Errorf("mode %q of the policy is none of enforce, testing and none", clip(value))
		}
	case "max_age":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || len(value) > 10 || value[0] == '+' {
			return fmt.Errorf("max_age %q of the policy is not a number of seconds", clip(value))
		}
		p.MaxAge = time.Duration(min(n, int64(MaxAge/time.Second))) * time.Second
	case "mx":
		value = strings.ToLower(strings.TrimSuffix(value, ".")) // QUIRK: some write the root's dot
		if !isHost(strings.TrimPrefix(value, "*.")) {
			return fmt.Errorf("mx %q of the policy is not the name of a host", clip(value))
		}
		if len(p.MX) == maxHosts {
			return fmt.Errorf("the policy names more than %d hosts", maxHosts)
		}
		p.MX = append(p.MX, value)
	}
	return nil
}

// Allows tells whether a host may take the domain's mail, by its name as the MX
// record has it. RFC 8461 §4.1
func (p Policy) Allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, behind, dotted := strings.Cut(host, ".")
	for _, mx := range p.MX {
		if rest, wild := strings.CutPrefix(mx, "*."); wild && dotted && behind == rest || mx == host {
			return true
		}
	}
	return false
}

// Lines are the lines of the policy, without what ends them.
func (p Policy) Lines() []string {
	if p.Mode == "" {
		return nil
	}
	lines := []string{"version: STSv1", "mode: " + string(p.Mode)}
	for _, mx := range p.MX {
		lines = append(lines, "mx: "+mx)
	}
	return append(lines, "max_age: "+strconv.FormatInt(int64(p.MaxAge/time.Second), 10))
}

// String writes the policy as its host serves it. RFC 8461 §3.2
func (p Policy) String() string {
	var b strings.Builder
	for _, line := range p.Lines() {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// isHost tells whether s is a name in ASCII.
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return r >= 0x80 || !isAlnum(byte(r)) && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// isText tells whether a value has no control characters. RFC 8461 §3.2
func isText(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
