package transcript

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the O: lines of a file.
type Options map[string]string

// A kind says what a step does.
type kind byte

const (
	send     kind = iota // text to the server
	hangUp               // close from our side
	expect               // one line from the server
	closed               // the server has hung up
	silence              // nothing more has come
	anyLines             // skip lines up to the next expectation
	upgrade              // TLS or compression
	wait                 // time passes
)

// A step is one line of a script. Lines to send carry their CRLF.
type step struct {
	line int // in the file, from 1
	kind kind
	conn int
	text string
	wait time.Duration
}

// A script is one file.
type script struct {
	path    string
	options Options
	steps   []step
}

// load reads and parses a file.
func load(path string) (*script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, string(b))
}

// parse reads the text of a script. Errors name file and line.
func parse(path, text string) (*script, error) {
	s := &script{path: path, options: Options{}}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' || strings.TrimSpace(line) == "" {
			continue
		}
		if err := s.parseLine(i+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return s, nil
}

func (s *script) parseLine(number int, line string) error {
	tag, text, ok := strings.Cut(line, ":")
	if !ok || tag == "" {
		return fmt.Errorf("want a step such as \"C: text\", have %q", line)
	}
	text = strings.TrimPrefix(text, " ")
	st := step{line: number, conn: 1, text: text}
	if digits := tag[:len(tag)-1]; digits != "" {
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no step", tag)
		}
		st.conn = n
	}
	var err error
	switch tag[len(tag)-1] {
	case 'C':
		st.kind, st.text = send, text+"\r\n"
		if text == "<close>" {
			st.kind = hangUp
		}
	case 'R':
		st.kind = send
		st.text, err = unescape(text)
	case 'S':
		st.kind = expectation(text)
	case 'U':
		st.kind = upgrade
		if text != "tls" && text != "deflate" {
			err = fmt.Errorf("can upgrade to tls or deflate, not to %q", text)
		}
	case 'W':
		st.kind = wait
		st.wait, err = time.ParseDuration(strings.TrimSpace(text))
	case 'O':
		if len(s.steps) > 0 {
			return fmt.Errorf("options stand before the first step")
		}
		key, value, _ := strings.Cut(strings.TrimSpace(text), " ")
		s.options[key] = value
		return nil
	default:
		err = fmt.Errorf("%q is no step", tag)
	}
	if err == nil {
		s.steps = append(s.steps, st)
	}
	return err
}

func expectation(text string) kind {
	switch text {
	case "<closed>":
		return closed
	case "<silence>":
		return silence
	case "<lines>":
		return anyLines
	}
	return expect
}

// unescape gives the octets of an R: line.
func unescape(s string) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		out.WriteString(s[:i])
		if i+1 == len(s) {
			return "", fmt.Errorf("a backslash ends the line")
		}
		letter := s[i+1]
		s = s[i+2:]
		switch letter {
		case 'r':
			out.WriteByte('\r')
		case 'n':
			out.WriteByte('\n')
		case 't':
			out.WriteByte('\t')
		case '0':
			out.WriteByte(0)
		case '\\':
			out.WriteByte('\\')
		case 'x':
			if len(s) < 2 {
				return "", fmt.Errorf("\\x wants two hexadecimal digits")
			}
			n, err := strconv.ParseUint(s[:2], 16, 8)
			if err != nil {
				return "", fmt.Errorf("\\x wants two hexadecimal digits, has %q", s[:2])
			}
			out.WriteByte(byte(n))
			s = s[2:]
		case '{':
			body, rest, ok := strings.Cut(s, "}")
			count, what, ok2 := strings.Cut(body, ":")
			n, err := strconv.Atoi(count)
			if !ok || !ok2 || err != nil || n < 0 {
				return "", fmt.Errorf("want \\{N:text}, have %q", s)
			}
			if what, err = unescape(what); err != nil {
				return "", err
			}
			out.WriteString(strings.Repeat(what, n))
			s = rest
		default:
			return "", fmt.Errorf("\\%c is no escape", letter)
		}
	}
}

// virtual tells whether the script needs a bubble: time passes in it, or it
// knows the date on which bubbles begin.
func (s *script) virtual() bool {
	return s.options["clock"] == "virtual" || slices.ContainsFunc(s.steps, func(st step) bool { return st.kind == wait && st.wait > 0 })
}
