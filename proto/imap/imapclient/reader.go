package imapclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of one response, whatever the server says.
const (
	maxOctets  = 8 << 20 // all of it but for messages
	maxLiteral = 1 << 20 // a string that is not a message
	maxDepth   = 16
	maxMessage = 1 << 32
)

// A value is what stands in a response: an atom, a string, NIL or a list.
type value struct {
	kind valueKind
	text string
	list []value
}

type valueKind uint8

const (
	atom valueKind = iota
	str
	null
	list
)

// A response is one answer of the server. RFC 9051 §7
type response struct {
	tag      string // "*", "+" or a tag
	word     string // in capitals: OK, LIST, FETCH
	number   uint32 // before the word, as in "12 EXISTS"
	code     string // of a status response, in capitals
	argument string // of the code
	text     string // of a status response
	values   []value
	fetched  *Fetched // of a FETCH
}

// has tells whether a word is among the values, in any case.
func (r *response) has(word string) bool {
	for _, v := range r.values {
		if strings.EqualFold(v.text, word) {
			return true
		}
	}
	return false
}

// A syntaxError says where the server has left the grammar.
type syntaxError struct{ text string }

func (e *syntaxError) Error() string { return "the server's answer cannot be read: " + e.text }

func bad(format string, args ...any) error { return &syntaxError{fmt.Sprintf(format, args...)} }

// An ownError is one of the caller, who was given a message.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }

// A reader parses what the server says.
type reader struct {
	br     *bufio.Reader
	octets int    // that may still come in this response
	alive  func() // is called as a message comes in
}

func newReader(r io.Reader, alive func()) *reader {
	return &reader{br: bufio.NewReaderSize(r, 64<<10), alive: alive}
}

// A literal is the text of a message on its way in.
type literal struct {
	from *reader
	left int64
	err  error // of the connection
}

func (l *literal) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if l.err != nil {
		return 0, l.err
	}
	l.from.alive()
	n, err := l.from.br.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	l.err = err
	return n, err
}

func (r *reader) buffered() int { return r.br.Buffered() }

func (r *reader) next() (byte, error) {
	if r.octets--; r.octets < 0 {
		return 0, bad("it is too long")
	}
	return r.br.ReadByte()
}

func (r *reader) peek() (byte, error) {
	p, err := r.br.Peek(1)
	if err != nil {
		return 0, err
	}
	return p[0], nil
}

// skip takes an octet if it is the next one.
func (r *reader) skip(c byte) (bool, error) {
	got, err := r.peek()
	if err != nil || got != c {
		return false, err
	}
	_, err = r.next()
	return true, err
}

// word takes what stands up to a space, a parenthesis or the end of the line.
// Brackets are part of it, with all that stands in them.
func (r *reader) word() (string, error) {
	var b strings.Builder
	for depth := 0; ; {
		c, err := r.peek()
		if err != nil {
			return "", err
		}
		switch {
		case c == '\r' || c == '\n':
			return b.String(), nil
		case depth == 0 && (c == ' ' || c == '(' || c == ')'):
			return b.String(), nil
		case c == '[':
			depth++
		case c == ']' && depth > 0:
			depth--
		}
		if _, err := r.next(); err != nil {
			return "", err
		}
		b.WriteByte(c)
	}
}

// line takes the rest of the line, with its end.
func (r *reader) line() (string, error) {
	var b strings.Builder
	for {
		c, err := r.next()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return strings.TrimSuffix(b.String(), "\r"), nil
		}
		b.WriteByte(c)
	}
}

// end takes the end of a line; spaces before it are met.
func (r *reader) end() error {
	rest, err := r.line()
	if err == nil && strings.TrimSpace(rest) != "" {
		err = bad("%.40q stands at the end", rest)
	}
	return err
}

// response reads one response. Messages in it go to bodies, if there is one.
func (r *reader) response(b *bodies) (*response, error) {
	r.octets = maxOctets
	tag, err := r.word()
	if err != nil {
		return nil, err
	}
	resp := &response{tag: tag}
	if tag == "" {
		return nil, bad("it begins with nothing")
	}
	if _, err := r.skip(' '); err != nil {
		return nil, err
	}
	if tag == "+" {
		resp.text, err = r.line()
		return resp, err
	}
	if resp.word, err = r.word(); err != nil {
		return nil, err
	}
	if n, err := strconv.ParseUint(resp.word, 10, 32); err == nil && tag == "*" {
		resp.number = uint32(n)
		if _, err := r.skip(' '); err != nil {
			return nil, err
		}
		if resp.word, err = r.word(); err != nil {
			return nil, err
		}
	}
	resp.word = strings.ToUpper(resp.word)
	if _, err := r.skip(' '); err != nil {
		return nil, err
	}
	switch resp.word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return resp, r.status(resp)
	case "FETCH":
		if resp.fetched, err = r.fetch(b); err == nil {
			err = r.end()
		}
		return resp, err
	}
	resp.values, err = r.values(0)
	if err == nil {
		err = r.end()
	}
	return resp, err
}

// status reads the text of a status response, and its code. RFC 9051 §7.1
func (r *reader) status(resp *response) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	resp.text = line
	if rest, ok := strings.CutPrefix(line, "["); ok {
		if code, text, ok := strings.Cut(rest, "]"); ok {
			name, argument, _ := strings.Cut(code, " ")
			resp.code, resp.argument, resp.text = strings.ToUpper(name), argument, strings.TrimSpace(text)
		}
	}
	return nil
}

// values takes values up to the end of a line or of a list.
func (r *reader) values(depth int) ([]value, error) {
	if depth > maxDepth {
		return nil, bad("lists in lists in lists")
	}
	var all []value
	for {
		c, err := r.peek()
		switch {
		case err != nil:
			return nil, err
		case c == ' ':
			if _, err := r.next(); err != nil {
				return nil, err
			}
			continue
		case c == ')' || c == '\r' || c == '\n':
			return all, nil
		}
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		r.octets -= 64 // what it costs us
		all = append(all, v)
	}
}

func (r *reader) value(depth int) (value, error) {
	c, err := r.peek()
	if err != nil {
		return value{}, err
	}
	switch c {
	case '(':
		_, _ = r.next()
		items, err := r.values(depth + 1)
		if err != nil {
			return value{}, err
		}
		if c, err := r.next(); err != nil || c != ')' {
			return value{}, errors.Join(err, bad("a list does not end"))
		}
		return value{kind: list, list: items}, nil
	case '"', '{', '~':
		size, quoted, err := r.stringStart()
		if err != nil || quoted != nil {
			return value{kind: str, text: string(quoted)}, err
		}
		if size > maxLiteral || int(size) > r.octets {
			return value{}, bad("a string of %d octets", size)
		}
		r.octets -= int(size)
		text := make([]byte, size)
		_, err = io.ReadFull(r.br, text)
		return value{kind: str, text: string(text)}, err
	}
	word, err := r.word()
	if err != nil {
		return value{}, err
	}
	if word == "" {
		return value{}, bad("%q has no place there", c)
	}
	if strings.EqualFold(word, "NIL") {
		return value{kind: null}, nil
	}
	return value{text: word}, nil
}

// stringStart takes a quoted string, which it gives, or the announcement of a
// literal. RFC 9051 §4.3
func (r *reader) stringStart() (size int64, quoted []byte, err error) {
	c, err := r.next()
	if err != nil {
		return 0, nil, err
	}
	if c == '"' {
		quoted, err = r.quoted()
		return 0, quoted, err
	}
	if c == '~' { // RFC 3516 §4
		if c, err = r.next(); err != nil {
			return 0, nil, err
		}
	}
	if c != '{' {
		return 0, nil, bad("%q where a string begins", c)
	}
	text, err := r.line()
	if err != nil {
		return 0, nil, err
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "}"), "+")
	size, err = strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || size > maxMessage {
		return 0, nil, bad("a literal of %.20q octets", text)
	}
	return size, nil, nil
}

// quoted takes the rest of a quoted string; it is never nil.
func (r *reader) quoted() ([]byte, error) {
	text := []byte{}
	for {
		c, err := r.next()
		switch {
		case err != nil:
			return nil, err
		case c == '"':
			return text, nil
		case c == '\n':
			return nil, bad("a quoted string does not end")
		case c == '\\':
			if c, err = r.next(); err != nil {
				return nil, err
			}
		}
		text = append(text, c)
	}
}
