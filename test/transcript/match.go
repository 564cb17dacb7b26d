package transcript

import (
	"fmt"
	"strings"
)

// captures are the values that $names have.
type captures map[string]string

// match tells whether line is what pattern says. On success the names that
// pattern met for the first time are kept in c.
func match(pattern, line string, c captures) bool {
	if strings.HasPrefix(pattern, "* ") { // IMAP's untagged responses
		if !strings.HasPrefix(line, "* ") {
			return false
		}
		pattern, line = pattern[2:], line[2:]
	}
	found := captures{}
	if !matchHere(pattern, line, c, found) {
		return false
	}
	for name, value := range found {
		c[name] = value
	}
	return true
}

// matchHere matches by trying; patterns are short and written by us.
func matchHere(pattern, line string, known, found captures) bool {
	for pattern != "" {
		if pattern[0] == '*' {
			rest := strings.TrimLeft(pattern, "*")
			if rest == "" {
				return true
			}
			for i := 0; i <= len(line); i++ {
				if matchHere(rest, line[i:], known, found) {
					return true
				}
			}
			return false
		}
		if name := nameAt(pattern); name != "" {
			rest := pattern[1+len(name):]
			value, has := known[name]
			if !has {
				value, has = found[name]
			}
			if !has {
				return capture(name, rest, line, known, found)
			}
			if !strings.HasPrefix(line, value) {
				return false
			}
			pattern, line = rest, line[len(value):]
			continue
		}
		octet := pattern[0]
		pattern = pattern[1:]
		if octet == '$' && strings.HasPrefix(pattern, "$") {
			pattern = pattern[1:]
		}
		if line == "" || line[0] != octet {
			return false
		}
		line = line[1:]
	}
	return line == ""
}

// capture gives name the longest word at the start of line with which the
// rest of the pattern still matches.
func capture(name, rest, line string, known, found captures) bool {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		end = len(line)
	}
	for ; end > 0; end-- {
		found[name] = line[:end]
		if matchHere(rest, line[end:], known, found) {
			return true
		}
	}
	delete(found, name)
	return false
}

// nameAt gives the name of the $name that s begins with, or "".
func nameAt(s string) string {
	if len(s) < 2 || s[0] != '$' || s[1] < 'a' || s[1] > 'z' {
		return ""
	}
	end := 2
	for end < len(s) && isNameOctet(s[end]) {
		end++
	}
	return s[1:end]
}

func isNameOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// expand puts the values of $names into text that is to be sent.
func expand(text string, c captures) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		out.WriteString(text[:i])
		text = text[i:]
		name := nameAt(text)
		switch {
		case name != "":
			value, ok := c[name]
			if !ok {
				return "", fmt.Errorf("$%s has no value yet", name)
			}
			out.WriteString(value)
			text = text[1+len(name):]
		case strings.HasPrefix(text, "$$"):
			out.WriteByte('$')
			text = text[2:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
}
