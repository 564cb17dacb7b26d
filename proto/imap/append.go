package imap

import (
	"bytes"
	"time"
)

// An Append is the beginning of an APPEND, REPLACE or UID REPLACE: what stands
// before its messages. RFC 9051 §6.3.12, RFC 8508 §3
type Append struct {
	Mailbox string
	Replace bool
	UID     bool   // Message is a UID
	Message uint32 // what is replaced, Star for the last one
}

// Name gives the command's word.
func (c Append) Name() string {
	if c.Replace {
		return withUID(c.UID, "UID REPLACE")
	}
	return "APPEND"
}

// An AppendKind says what comes next in an APPEND.
type AppendKind uint8

// What an APPEND consists of. A message ends where the next begins, or with
// the command.
const (
	AppendMessage AppendKind = iota // a message begins: Flags and Date
	AppendText                      // octets of it follow in a Literal
	AppendURL                       // octets of it are those of a URL. RFC 4469 §3
)

// An AppendStep is one thing that an APPEND asks for.
type AppendStep struct {
	Kind    AppendKind
	Flags   FlagList  // AppendMessage
	Date    time.Time // AppendMessage; zero if none was given
	Literal Literal   // AppendText
	// UTF8 says that the literal stands in "UTF8 (" ")". RFC 6855 §4
	UTF8 bool
	Part bool   // it is one of several that CATENATE puts together
	URL  string // AppendURL
}

// An AppendParser reads an APPEND or REPLACE stretch by stretch, since nobody
// wants to hold its messages in memory. A stretch is text up to the
// announcement of a literal with octets of a message, or to the command's end;
// other literals are part of it.
//
// RFC 9051 §6.3.12, RFC 3502 (several messages), RFC 4469 (CATENATE),
// RFC 3516 §4.4 (literal8), RFC 6855 §4 (UTF8), RFC 8508 (REPLACE)
type AppendParser struct {
	// Command is known after the first stretch.
	Command Append
	state   appendState
}

// An appendState is where in the grammar a stretch begins.
type appendState uint8

const (
	appendHead      appendState = iota
	appendBetween               // a message is complete
	appendClose                 // but for the parenthesis of UTF8
	appendParts                 // in the list of CATENATE, behind a part
	appendPartClose             // but for the parenthesis of UTF8
	appendDone
)

// IsAppend tells whether the text behind a tag is for an AppendParser.
func IsAppend(rest []byte) bool {
	for _, name := range [...]string{"APPEND ", "REPLACE ", "UID REPLACE "} {
		if len(rest) > len(name) && bytes.EqualFold(rest[:len(name)], []byte(name)) {
			return true
		}
	}
	return false
}

// Done says that the command is complete.
func (p *AppendParser) Done() bool { return p.state == appendDone }

// Next reads a stretch, without the CRLF at its end. missing is true, and
// nothing has been read, when it ends in the announcement of a literal that is
// part of it: the caller adds the literal and the line behind it, and calls
// again with all of it. When the last step is an AppendText, its octets
// follow, and then the next stretch.
func (p *AppendParser) Next(text []byte) (steps []AppendStep, missing bool, err error) {
	r := appendReader{scanner: scanner{b: text}, state: p.state, command: p.Command}
	for r.err == nil && !r.missing && !r.stop && r.state != appendDone {
		r.read()
	}
	if r.err != nil || r.missing {
		return nil, r.missing && r.err == nil, r.err
	}
	p.state, p.Command = r.state, r.command
	return r.steps, false, nil
}

// An appendReader reads one stretch.
type appendReader struct {
	scanner
	state   appendState
	command Append
	steps   []AppendStep
	missing bool // a literal that is part of the stretch
	stop    bool // a literal of a message follows
}

// maxURL bounds a URL.
const maxURL = 8 << 10

func (r *appendReader) read() {
	switch r.state {
	case appendHead:
		r.head()
	case appendBetween:
		if r.atEnd() || !r.scanner.more(0) {
			r.state = appendDone
			r.end()
		} else if r.command.Replace { // it takes one. RFC 8508 §4.7
			r.fail("unexpected text after the message")
		} else { // RFC 3502 §6.3.11
			r.message()
		}
	case appendClose:
		r.expect(')')
		r.state = appendBetween
	case appendPartClose:
		r.expect(')')
		r.state = appendParts
	case appendParts:
		if r.scanner.more(')') {
			r.part()
		} else {
			r.state = appendBetween
		}
	}
}

// head takes all before the first message, and its beginning.
func (r *appendReader) head() {
	name := r.word()
	if name == "UID" {
		r.sp()
		name = r.word()
		r.command.UID = true
	}
	switch {
	case name == "REPLACE":
		r.command.Replace = true
		r.sp()
		r.command.Message = r.seqNumber()
	case name != "APPEND" || r.command.UID:
		r.fail("not an APPEND")
	}
	r.sp()
	r.command.Mailbox = r.inner()
	if !r.missing {
		r.sp()
		r.message()
	}
}

// inner takes an astring, whose literal may still be missing.
func (r *appendReader) inner() string {
	if r.peek() == '{' {
		rest := r.b[r.i:]
		if l, ok := LineLiteral(rest); ok && !l.Binary && bytes.IndexByte(rest, '}') == len(rest)-1 {
			r.missing = true
			return ""
		}
	}
	return r.astring()
}

// message takes the options of a message and the beginning of what its octets
// come from.
func (r *appendReader) message() {
	step := AppendStep{Kind: AppendMessage}
	if r.peek() == '(' {
		step.Flags = r.flagList()
		r.sp()
	}
	if r.peek() == '"' {
		step.Date = r.dateTime()
		r.sp()
	}
	r.steps = append(r.steps, step)
	if c := r.peek(); c == '{' || c == '~' {
		r.octets(false, false, appendBetween)
		return
	}
	switch r.word() {
	case "UTF8":
		r.sp()
		r.expect('(')
		r.octets(true, false, appendClose)
	case "CATENATE":
		r.sp()
		r.expect('(')
		r.spaces()
		r.part()
	default:
		r.fail("expected a literal")
	}
}

// part takes a cat-part. RFC 4469 §5, RFC 6855 §4
func (r *appendReader) part() {
	switch r.word() {
	case "TEXT":
		r.sp()
		r.octets(false, true, appendParts)
	case "UTF8":
		r.sp()
		r.expect('(')
		r.octets(true, true, appendPartClose)
	case "URL":
		r.sp()
		url := r.inner()
		if len(url) > maxURL {
			r.fail("URL is too long")
		}
		r.steps = append(r.steps, AppendStep{Kind: AppendURL, URL: url, Part: true})
		r.state = appendParts
	default:
		r.fail("expected TEXT or URL")
	}
}

// octets takes the announcement of a literal of the message, which ends the
// stretch; next is the state behind it.
func (r *appendReader) octets(utf8, part bool, next appendState) {
	if r.err != nil {
		return
	}
	rest := r.b[r.i:]
	l, ok := LineLiteral(rest)
	if !ok || bytes.IndexByte(rest, '{') > 1 || bytes.IndexByte(rest, '}') != len(rest)-1 || (rest[0] == '~') != l.Binary {
		r.fail("expected a literal")
		return
	}
	if utf8 && !l.Binary {
		r.fail("UTF8 needs a literal8")
		return
	}
	r.steps = append(r.steps, AppendStep{Kind: AppendText, Literal: l, UTF8: utf8, Part: part})
	r.state, r.stop = next, true
}
