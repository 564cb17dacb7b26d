package message

import (
	"bytes"
	"io"

	"waxwing/mail"
)

// A Parser takes a message in pieces of any size through Write and gives what
// it found at Finish. It holds a bounded amount of memory whatever comes, and
// what it finds does not depend on how the message was cut. Not safe for
// concurrent use.
//
//	          +--------+  empty line   +------+
//	start --> | header | ------------> | body | --+
//	          +--------+ <----+        +------+   | line "--boundary"
//	              |           |                   v
//	              |           |   line end   +-----------+
//	              +-----------|------------> | delimiter |
//	                          +------------- +-----------+ (or back to body, behind "--boundary--")
//
// The header state sees one line after the other. The body state skips ahead to
// lines that start with "--", and only inside a multipart.
type Parser struct {
	state state
	off   int64 // octets judged
	lines int64 // line feeds among them
	last  byte  // the last of them
	eol   int   // length of the line end that they close with: 0, 1 or 2
	bol   bool  // the next octet starts a line

	// pending is the beginning of a line not yet judged, cut to a limit (its
	// last two octets are always the latest ones); held counts its octets.
	pending []byte
	held    int64

	nodes    []node  // all parts, parents before children
	open     []frame // the way from the root to the part that is being read
	active   int     // frames in open with a boundary
	next     state   // what follows a delimiter's line end
	swallow  bool    // too many parts: the last one takes the rest
	brief    bool    // see Brief
	header   headerState
	envelope Envelope
	refs     []string
	inReply  []string
	preview  preview
	list     addressList // for each field with addresses
	message  Message

	text      int // octets of text kept
	types     int // octets of Content-Type kept
	addresses int // addresses kept
}

type state uint8

const (
	inHeader state = iota
	inBody
	inDelimiter
)

// A node is a part in the making.
type node struct {
	Part
	parent   int32
	children int32
}

// A frame is a part that has not ended.
type frame struct {
	node     int
	boundary string // of a multipart whose closing delimiter has not come
	lines    int64  // line feeds before the body
	digest   bool   // children are message/rfc822 unless they say otherwise
}

// NewParser gives a Parser at the start of a message.
func NewParser() *Parser {
	p := &Parser{}
	p.Reset()
	return p
}

// Reset makes the parser ready for another message and keeps its buffers.
func (p *Parser) Reset() {
	clear(p.nodes)
	*p = Parser{
		nodes: p.nodes[:0], open: p.open[:0], pending: p.pending[:0],
		header:  headerState{field: p.header.field[:0]},
		preview: p.preview.reset(), bol: true,
	}
	p.push(0)
	p.header.message = true
}

// Brief has the parser, which is at the start of a message, find no more of it
// than what a message has to tell that only passes through: Size, MessageID, and
// where the body of the Root begins. It is as before after Reset.
func (p *Parser) Brief() { p.brief = true }

// Parse reads a message to its end. It fails only if r does.
func Parse(r io.Reader) (*Message, error) {
	p := NewParser()
	if _, err := io.Copy(p, r); err != nil {
		return nil, err
	}
	return p.Finish(), nil
}

// Write takes the next octets of the message. It keeps no reference to b and
// never fails.
func (p *Parser) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		switch p.state {
		case inHeader:
			b = p.readHeader(b)
		case inBody:
			if p.brief {
				p.off += int64(len(b))
				return n, nil
			}
			b = p.readBody(b)
		case inDelimiter:
			b = p.skipDelimiter(b)
		}
	}
	return n, nil
}

// Finish tells that the message has ended and gives what was found. The parser
// can be used again after Reset.
func (p *Parser) Finish() *Message {
	if p.held > 0 {
		p.judge()
	}
	// A delimiter that is cut off opens no part.
	if p.state == inHeader {
		p.endField()
		p.endHeaders()
	}
	p.closeTo(-1, p.off, p.lines)
	m := &p.message
	m.Size = mail.ByteCount(p.off)
	m.Envelope = p.envelope
	m.References = p.refs
	if len(m.References) == 0 {
		m.References = p.inReply
	}
	m.Preview = p.preview.text()
	p.assemble(m)
	done := *m
	return &done
}

// assemble turns the list of nodes into the tree, children of one part lying
// side by side in one allocation.
func (p *Parser) assemble(m *Message) {
	if len(p.nodes) == 1 {
		m.Root = p.nodes[0].Part
		return
	}
	parts := make([]Part, len(p.nodes)-1)
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.children > 0 {
			n.Parts, parts = parts[:n.children:n.children], parts[n.children:]
		}
	}
	for i := len(p.nodes) - 1; i > 0; i-- { // the last child first
		parent := &p.nodes[p.nodes[i].parent]
		parent.children--
		parent.Parts[parent.children] = p.nodes[i].Part
	}
	m.Root = p.nodes[0].Part
}

// push opens a part whose header starts here.
func (p *Parser) push(parent int) {
	p.nodes = append(p.nodes, node{parent: int32(parent)})
	i := len(p.nodes) - 1
	if i > 0 {
		p.nodes[parent].children++
	}
	p.nodes[i].Header = p.off
	p.nodes[i].Body = -1
	p.header.begin(p.off)
	if len(p.open) > 0 {
		p.header.digest = p.top().digest
	}
	p.open = append(p.open, frame{node: i})
	p.state = inHeader
}

// top is the part that is being read.
func (p *Parser) top() *frame { return &p.open[len(p.open)-1] }

// readHeader takes one line of a header, or what there is of it.
func (p *Parser) readHeader(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	line := b[:i+1]
	if i < 0 {
		line = b
	}
	rest := b[len(line):]
	if i >= 0 && p.held == 0 && len(line) <= maxFieldSize {
		p.headerLine(line, int64(len(line)))
		return rest
	}
	p.hold(line, maxFieldSize)
	if i >= 0 {
		p.judge()
	}
	return rest
}

// hold keeps the beginning of a line for later.
func (p *Parser) hold(b []byte, limit int) {
	p.held += int64(len(b))
	room := limit - len(p.pending)
	if len(b) <= room {
		p.pending = append(p.pending, b...)
		return
	}
	p.pending = append(p.pending, b[:room]...)
	for _, c := range b[max(room, len(b)-2):] {
		p.pending[limit-2], p.pending[limit-1] = p.pending[limit-1], c
	}
}

// judge decides about a held line, of which enough is known.
func (p *Parser) judge() {
	line, size := p.pending, p.held
	p.pending, p.held = p.pending[:0], 0
	if p.state == inHeader {
		p.headerLine(line, size)
		return
	}
	p.bodyLine(line)
}

// readBody takes body octets up to the next line that could be a delimiter,
// and that line if all of it is there.
func (p *Parser) readBody(b []byte) []byte {
	if p.active == 0 || p.swallow {
		p.pass(b)
		return nil
	}
	at := 0
	if p.held == 0 {
		at = p.candidate(b)
		p.pass(b[:at])
		b = b[at:]
		if len(b) == 0 {
			return nil
		}
	}
	line := b[:min(len(b), maxDelimiter-len(p.pending))]
	i := bytes.IndexByte(line, '\n')
	if i >= 0 {
		line = line[:i+1]
	}
	enough := i >= 0 || len(p.pending)+len(line) == maxDelimiter
	if enough && p.held == 0 {
		p.bodyLine(line)
		return b[len(line):]
	}
	p.hold(line, maxDelimiter)
	if enough {
		p.judge()
	}
	return b[len(line):]
}

// candidate finds the first line in b that starts with "--", or might once
// more of it has come.
func (p *Parser) candidate(b []byte) int {
	for i := 0; i < len(b); {
		k := bytes.IndexByte(b[i:], '-')
		if k < 0 {
			break
		}
		i += k
		start := p.bol
		if i > 0 {
			start = b[i-1] == '\n'
		}
		if start && (i+1 == len(b) || b[i+1] == '-') {
			return i
		}
		for i < len(b) && b[i] == '-' {
			i++
		}
	}
	return len(b)
}

// pass takes octets that are body and nothing else.
func (p *Parser) pass(b []byte) {
	n := len(b)
	if n == 0 {
		return
	}
	p.preview.take(b)
	p.off += int64(n)
	p.lines += int64(bytes.Count(b, lf))
	p.endLine(b)
}

var lf = []byte{'\n'}

// endLine notes how b ends.
func (p *Parser) endLine(b []byte) {
	n := len(b)
	before := p.last
	if n > 1 {
		before = b[n-2]
	}
	p.last = b[n-1]
	p.bol, p.eol = p.last == '\n', 0
	if p.bol {
		p.eol = 1
		if before == '\r' {
			p.eol = 2
		}
	}
}

// bodyLine decides about a line in a body that starts with "-": all of it, or
// as much as is looked at.
func (p *Parser) bodyLine(line []byte) {
	if i, closing, ok := p.match(line); ok {
		p.delimiter(i, closing, line, int64(len(line)))
		return
	}
	p.pass(line)
}

// match tells whether a line is a delimiter, and of which open part. A line
// that is exactly a delimiter is that of the innermost part; otherwise it is
// enough that it begins with one, and the longest boundary wins, so that one
// may be the beginning of another. RFC 2046 §5.1.1
func (p *Parser) match(line []byte) (at int, closing, ok bool) {
	if p.active == 0 || p.swallow || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return 0, false, false
	}
	line = bytes.TrimRight(line[2:min(len(line), maxDelimiter)], " \t\r\n")
	best := 0
	for i := len(p.open) - 1; i >= 0; i-- {
		b := p.open[i].boundary
		if len(b) <= best || len(b) > len(line) || string(line[:len(b)]) != b {
			continue
		}
		rest := line[len(b):]
		closing = len(rest) >= 2 && rest[0] == '-' && rest[1] == '-'
		at, best = i, len(b)
		if len(rest) == 0 || closing && len(rest) == 2 {
			break
		}
	}
	if best > 0 && !closing && len(p.nodes) >= maxParts {
		p.defect(p.off, defectParts)
		p.swallow = true
		return 0, false, false
	}
	return at, closing, best > 0
}

// delimiter ends all parts inside open[at], and that one's preamble or latest
// part. The line end before a delimiter belongs to it. RFC 2046 §5.1.1
func (p *Parser) delimiter(at int, closing bool, line []byte, size int64) {
	lines := p.lines
	if p.eol > 0 {
		lines--
	}
	p.closeTo(at, p.off-int64(p.eol), lines)
	p.state, p.next = inDelimiter, inHeader
	if closing {
		p.open[at].boundary = ""
		p.active--
		p.next = inBody
		if n := &p.nodes[p.open[at].node]; n.children == 0 {
			p.defect(n.Body, defectNoParts)
		}
	}
	p.off += size
	p.endLine(line)
	if p.bol {
		p.lines++
		p.enter(p.next)
	}
}

// skipDelimiter takes what is left of a delimiter's line.
func (p *Parser) skipDelimiter(b []byte) []byte {
	n := len(b)
	i := bytes.IndexByte(b, '\n')
	if i >= 0 {
		n = i + 1
	}
	p.off += int64(n)
	p.endLine(b[:n])
	if i >= 0 {
		p.lines++
		p.enter(p.next)
	}
	return b[n:]
}

// enter goes on behind a delimiter.
func (p *Parser) enter(s state) {
	p.state = s
	if s == inHeader {
		p.push(p.top().node)
	}
}

// closeTo ends the bodies of all open parts deeper than open[keep].
func (p *Parser) closeTo(keep int, end, lines int64) {
	for i := len(p.open) - 1; i > keep; i-- {
		f := &p.open[i]
		n := &p.nodes[f.node]
		if f.boundary != "" {
			p.active--
			p.defect(p.off, defectNoDelimiter)
		}
		n.End, n.Lines = end, lines-f.lines
		if end < n.Body {
			// The line end is the header's, for this part and all around it.
			end, lines = n.Body, p.lines
			n.End, n.Lines = end, 0
		}
	}
	p.open = p.open[:keep+1]
	p.preview.end()
}

func (p *Parser) defect(off int64, what string) {
	if len(p.message.Defects) < maxDefects {
		p.message.Defects = append(p.message.Defects, Defect{off, what})
	}
}

// keep counts text that goes into the message, and says no beyond the limit.
func (p *Parser) keep(s string) string { return p.keepIn(&p.text, s) }

// keepType does the same for Content-Type, apart from the rest so that other
// fields cannot crowd out the boundaries.
func (p *Parser) keepType(s string) string { return p.keepIn(&p.types, s) }

func (p *Parser) keepIn(used *int, s string) string {
	if *used+len(s) > maxText {
		p.defect(p.off, defectText)
		return ""
	}
	*used += len(s)
	return s
}
