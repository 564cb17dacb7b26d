package spf

import (
	"errors"
	"slices"
	"strings"
)

// A macroString is text with macros in it. RFC 7208 §7
type macroString []piece

// A piece is literal text, or a macro if it has a letter.
type piece struct {
	literal    string
	letter     byte // in lower case
	escape     bool // the letter was a capital: what comes out is URL-escaped
	right      int  // how many parts at the right are kept; 0 for all
	reverse    bool
	delimiters string
}

var errMacro = errors.New("malformed macro")

// parseDomainSpec reads a macro string that has to end like a domain: in a
// macro, or in a top label. RFC 7208 §7.1
func parseDomainSpec(s string) (macroString, error) {
	m, err := parseMacros(s, false)
	if err != nil {
		return nil, err
	}
	if len(m) == 0 {
		return nil, errors.New("lacks a domain")
	}
	last := m[len(m)-1]
	if last.letter != 0 {
		return m, nil
	}
	text := strings.TrimSuffix(last.literal, ".")
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 || !isTopLabel(text[dot+1:]) {
		return nil, errors.New("is not a domain")
	}
	return m, nil
}

// isTopLabel reports whether a label may end a domain: letters, digits and
// inner hyphens, not digits alone.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || digits(s) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// parseMacros reads a macro string. Explanations may have spaces, and three
// more letters.
func parseMacros(s string, explanation bool) (macroString, error) {
	m := macroString{}
	for s != "" {
		at := strings.IndexByte(s, '%')
		if at < 0 {
			return append(m, piece{literal: s}), nil
		}
		if at > 0 {
			m = append(m, piece{literal: s[:at]})
		}
		s = s[at+1:]
		if s == "" {
			return nil, errMacro
		}
		switch s[0] {
		case '%':
			m = append(m, piece{literal: "%"})
		case '_':
			m = append(m, piece{literal: " "})
		case '-':
			m = append(m, piece{literal: "%20"})
		case '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return nil, errMacro
			}
			p, err := parseMacro(s[1:end], explanation)
			if err != nil {
				return nil, err
			}
			m = append(m, p)
			s = s[end:]
		default:
			return nil, errMacro
		}
		s = s[1:]
	}
	return m, nil
}

// parseMacro reads what stands between the braces.
func parseMacro(s string, explanation bool) (piece, error) {
	var p piece
	if s == "" {
		return p, errMacro
	}
	p.letter = s[0] | 0x20
	p.escape = s[0] < 'a'
	letters := "slodiphv"
	if explanation {
		letters += "crt"
	}
	if !isAlpha(s[0]) || !strings.Contains(letters, string(p.letter)) {
		return p, errMacro
	}
	s = s[1:]
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		p.right = min(p.right*10+int(s[n]-'0'), 128) // no name has more parts
		n++
	}
	if n > 0 && p.right == 0 {
		return p, errMacro // RFC 7208 §7.1: the number must not be zero
	}
	s = s[n:]
	if s != "" && s[0]|0x20 == 'r' {
		p.reverse, s = true, s[1:]
	}
	if strings.Trim(s, ".-+,/_=") != "" {
		return p, errMacro
	}
	p.delimiters = s
	return p, nil
}

// maxExpanded bounds what a macro string can grow to.
const maxExpanded = 4096

// expand writes a macro string out; value gives what a letter stands for.
func (m macroString) expand(value func(letter byte) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range m {
		if p.letter == 0 {
			b.WriteString(p.literal)
			continue
		}
		v, err := value(p.letter)
		if err != nil {
			return "", err
		}
		v = p.transform(v)
		if p.escape {
			v = escape(v)
		}
		b.WriteString(v)
		if b.Len() > maxExpanded {
			return "", errMacro
		}
	}
	return b.String(), nil
}

// transform splits, reverses, and keeps the right-hand parts. RFC 7208 §7.3
func (p piece) transform(v string) string {
	if p.right == 0 && !p.reverse && p.delimiters == "" {
		return v
	}
	delimiters := p.delimiters
	if delimiters == "" {
		delimiters = "."
	}
	var parts []string
	for {
		i := strings.IndexAny(v, delimiters)
		if i < 0 {
			parts = append(parts, v)
			break
		}
		parts = append(parts, v[:i])
		v = v[i+1:]
	}
	if p.reverse {
		slices.Reverse(parts)
	}
	if p.right > 0 && p.right < len(parts) {
		parts = parts[len(parts)-p.right:]
	}
	return strings.Join(parts, ".")
}

// escape writes what is not unreserved in URLs as %XX. RFC 7208 §7.3
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
