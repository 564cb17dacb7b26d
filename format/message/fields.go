package message

import (
	"bytes"
	"strings"
)

// headerState is what the parser knows of the header it is in.
type headerState struct {
	start   int64
	field   []byte // the field being read, cut to a limit
	at      int64  // where it starts
	long    bool   // some of it was left out
	message bool   // a message's header, not only a part's
	digest  bool   // the default type is message/rfc822, RFC 2046 §5.1.5

	seen     uint32    // fields that count once, by their bit
	envelope *Envelope // of the message this header belongs to
}

// Bits for headerState.seen.
const (
	seenType uint32 = 1 << iota
	seenEncoding
	seenDisposition
	seenID
	seenDescription
	seenMD5
	seenLanguage
	seenLocation
	seenDate
	seenSubject
	seenFrom
	seenSender
	seenReplyTo
	seenInReplyTo
	seenMessageID
	seenReferences
	seenTooMuch
)

func (h *headerState) begin(at int64) {
	*h = headerState{start: at, field: h.field[:0]}
}

// headerLine takes one line of a header, cut to a limit, which took size
// octets.
func (p *Parser) headerLine(line []byte, size int64) {
	h := &p.header
	if isBlank(line) {
		p.endField()
		p.passHeader(line, size)
		p.endHeader()
		return
	}
	if line[0] == '-' && p.delimiterInHeader(line, size) {
		return
	}
	if (line[0] == ' ' || line[0] == '\t') && len(h.field) > 0 {
		room := min(len(line), maxFieldSize-len(h.field))
		h.long = h.long || room < len(line)
		h.field = append(h.field, line[:room]...)
	} else {
		p.endField()
		h.at, h.long = p.off, size > int64(len(line))
		h.field = append(h.field, line...)
	}
	p.passHeader(line, size)
}

func (p *Parser) passHeader(line []byte, size int64) {
	p.off += size
	p.endLine(line)
	if p.bol {
		p.lines++
	}
}

// delimiterInHeader ends the header when the line is a delimiter: an empty line
// is needed only before a body, RFC 2046 §5.1.1 (body-part).
func (p *Parser) delimiterInHeader(line []byte, size int64) bool {
	if len(line) > 2 && line[1] == '-' {
		// QUIRK: some writers forget the empty line between a multipart's
		// header and its first delimiter.
		p.endField()
		n := &p.nodes[p.top().node]
		if b, ok := n.boundary(); ok && bytes.HasPrefix(line[2:], []byte(b)) {
			p.defect(p.off, defectNoHeaderEnd)
			p.endHeader()
		}
	}
	at, closing, ok := p.match(line)
	if !ok {
		if p.state == inHeader {
			return false
		}
		p.pass(line) // its own boundary, but beyond the limits
		p.off += size - int64(len(line))
		return true
	}
	p.endField()
	p.endHeaders()
	p.delimiter(at, closing, line, size)
	return true
}

var messageID = []byte("message-id")

// endField takes the field that has just ended.
func (p *Parser) endField() {
	h := &p.header
	if len(h.field) == 0 {
		return
	}
	raw := h.field
	h.field = h.field[:0]
	if h.at-h.start >= maxHeaderSize {
		if p.header.seen&seenTooMuch == 0 {
			p.header.seen |= seenTooMuch
			p.defect(h.at, defectLongHeader)
		}
		return
	}
	if h.long {
		p.defect(h.at, defectLongField)
	}
	name, value, ok := cutField(trimEOL(raw))
	if !ok {
		// QUIRK: mbox separators at the start of stored mail are no news.
		if !bytes.HasPrefix(raw, []byte("From ")) && !bytes.HasPrefix(raw, []byte(">From ")) {
			p.defect(h.at, defectNoColon)
		}
		return
	}
	if len(name) > 32 || p.brief && !bytes.EqualFold(name, messageID) {
		return
	}
	var low [32]byte
	for i, c := range name {
		low[i] = lower(c)
	}
	if bytes.HasPrefix(low[:], []byte("content-")) {
		p.contentField(low[len("content-"):len(name)], value)
	} else if h.message {
		p.messageField(low[:len(name)], value)
	}
}

// once tells whether this is the first such field. The first one counts.
func (p *Parser) once(bit uint32) bool {
	if p.header.seen&bit != 0 {
		p.defect(p.header.at, defectDuplicate)
		return false
	}
	p.header.seen |= bit
	return true
}

// contentField takes a MIME field. RFC 2045 §3
func (p *Parser) contentField(name, value []byte) {
	n := &p.nodes[p.top().node]
	switch string(name) {
	case "type":
		if p.once(seenType) {
			p.contentType(n, p.keepType(unfold(value)))
		}
	case "transfer-encoding":
		if p.once(seenEncoding) {
			n.Encoding = p.keep(token(unfold(value)))
		}
	case "disposition": // RFC 2183
		if p.once(seenDisposition) {
			text := p.keep(unfold(value))
			rest := ""
			n.Disposition, rest = cutToken(text)
			n.DispositionParams = parseParams(rest)
		}
	case "id":
		if p.once(seenID) {
			n.ID = p.keep(unfold(value))
		}
	case "description":
		if p.once(seenDescription) {
			n.Description = p.keep(unfold(value))
		}
	case "md5": // RFC 1864
		if p.once(seenMD5) {
			n.MD5 = p.keep(unfold(value))
		}
	case "language": // RFC 3282
		if p.once(seenLanguage) {
			n.Language = languages(p.keep(unfold(value)))
		}
	case "location": // RFC 2557 §4
		if p.once(seenLocation) {
			n.Location = p.keep(strings.Join(strings.Fields(unfold(value)), ""))
		}
	}
}

// contentType reads a Content-Type. What cannot be read counts as plain text.
// RFC 2045 §5.2
func (p *Parser) contentType(n *node, text string) {
	whole, rest := cutToken(text)
	if next := skipCFWS(rest); strings.HasSuffix(whole, "/") || strings.HasPrefix(next, "/") {
		// White space around the slash, as RFC 822 allowed it.
		var more string
		more, rest = cutToken(strings.TrimPrefix(next, "/"))
		whole = strings.TrimSuffix(whole, "/") + "/" + more
	}
	major, minor, _ := strings.Cut(whole, "/")
	if major == "" || minor == "" {
		p.defect(p.header.at, defectContentType)
		if major != "multipart" {
			major, minor = "text", "plain"
		} else if minor == "" {
			minor = "mixed"
		}
	}
	n.Type, n.Subtype = major, minor
	n.Params = parseParams(rest)
}

// messageField takes a field of a message. RFC 5322 §3.6
func (p *Parser) messageField(name, value []byte) {
	e := p.header.envelope
	root := e == nil
	if root {
		e = &p.envelope
	}
	switch string(name) {
	case "date":
		if p.once(seenDate) {
			e.Date = p.keep(unfold(value))
			if root {
				p.sentAt(e.Date)
			}
		}
	case "subject":
		if p.once(seenSubject) {
			e.Subject = p.keep(unfold(value))
		}
	case "from":
		if p.once(seenFrom) {
			e.From = p.addressList(nil, value)
		}
	case "sender":
		if p.once(seenSender) {
			e.Sender = p.addressList(nil, value)
		}
	case "reply-to":
		if p.once(seenReplyTo) {
			e.ReplyTo = p.addressList(nil, value)
		}
	case "to": // QUIRK: repeated To, Cc and Bcc are common enough to be joined.
		e.To = p.addressList(e.To, value)
	case "cc":
		e.Cc = p.addressList(e.Cc, value)
	case "bcc":
		e.Bcc = p.addressList(e.Bcc, value)
	case "in-reply-to":
		if p.once(seenInReplyTo) {
			e.InReplyTo = p.keep(unfold(value))
			if root {
				p.inReply = boundIDs(ParseMessageIDs(e.InReplyTo))
			}
		}
	case "message-id":
		if p.once(seenMessageID) {
			e.MessageID = p.keep(unfold(value))
		}
	case "references":
		if root && p.once(seenReferences) {
			p.refs = boundIDs(ParseMessageIDs(p.keep(unfold(value))))
		}
	}
}

func (p *Parser) sentAt(text string) {
	t, ok := ParseDate(text)
	if !ok {
		p.defect(p.header.at, defectDate)
		return
	}
	p.message.Date = t.UTC()
}

func (p *Parser) addressList(list []Address, value []byte) []Address {
	more := p.list.parse(p.keep(unfold(value)), maxAddresses-p.addresses)
	p.addresses += len(more)
	if p.addresses >= maxAddresses {
		p.defect(p.header.at, defectAddresses)
	}
	if list == nil {
		return more
	}
	return append(list, more...)
}

// boundIDs keeps the first message id, which names the thread, and the latest.
func boundIDs(ids []string) []string {
	if len(ids) <= maxReferences {
		return ids
	}
	kept := append(make([]string, 0, maxReferences), ids[0])
	return append(kept, ids[len(ids)-maxReferences+1:]...)
}

// endHeaders ends the header, and that of a message inside which begins there.
func (p *Parser) endHeaders() {
	for p.state == inHeader {
		p.endHeader()
	}
}

// endHeader begins the body of the part.
func (p *Parser) endHeader() {
	f := p.top()
	n := &p.nodes[f.node]
	n.Body = p.off
	f.lines = p.lines
	p.state = inBody
	if p.brief {
		return
	}
	if n.Type == "" {
		n.Type, n.Subtype = "text", "plain"
		if p.header.digest && p.header.seen&seenType == 0 {
			n.Type, n.Subtype = "message", "rfc822"
		}
	}
	identity := true
	switch n.Encoding {
	case "":
		n.Encoding = "7bit"
	case "7bit", "8bit", "binary":
	default:
		identity = false
	}
	switch {
	case n.Type == "multipart":
		p.beginMultipart(f, n, identity)
	case n.IsMessage():
		p.beginEmbedded(f, n, identity)
	default:
		p.preview.begin(&n.Part)
	}
}

// beginMultipart looks for delimiters from now on.
func (p *Parser) beginMultipart(f *frame, n *node, identity bool) {
	b, ok := n.boundary()
	switch {
	case !ok:
		p.defect(n.Header, defectNoBoundary)
	case len(p.open) > maxDepth:
		p.defect(n.Header, defectDepth)
	default:
		// Encodings are not allowed here; their writers do not mean it.
		// RFC 2045 §6.4
		if !identity {
			p.defect(n.Header, defectEncodedParts)
		}
		f.boundary = b
		f.digest = n.Subtype == "digest"
		p.active++
	}
}

// beginEmbedded goes on with the header of the message inside.
func (p *Parser) beginEmbedded(f *frame, n *node, identity bool) {
	switch {
	case !identity:
		if n.Subtype == "rfc822" { // others may, RFC 6532 §3.7
			p.defect(n.Header, defectEncodedInside)
		}
	case len(p.open) > maxDepth:
		p.defect(n.Header, defectDepth)
	case len(p.nodes) >= maxParts:
		p.defect(n.Header, defectParts)
	default:
		e := new(Envelope)
		n.Embedded = e
		p.push(f.node)
		p.header.message, p.header.envelope = true, e
	}
}

// boundary gives the boundary of a multipart, if it has a usable one. White
// space at its end is no part of it. RFC 2046 §5.1.1
func (n *node) boundary() (string, bool) {
	if n.Type != "multipart" {
		return "", false
	}
	b := strings.TrimRight(n.Param("boundary"), " \t")
	return b, b != "" && len(b) <= maxBoundary
}
