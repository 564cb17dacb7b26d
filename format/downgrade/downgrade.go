// Package downgrade converts messages for hosts that take less than the
// message holds: 8-bit content to 7-bit (RFC 6152 §3), binary content to 8-bit
// or 7-bit (RFC 3030 §3).
//
// Bodies of leaf parts are encoded in quoted-printable or base64, and the
// Content-Transfer-Encoding of the parts around them is set right. Everything
// else stays octet for octet, as does every body that needs nothing. No
// encoding is put over another. What decodes to something before decodes to
// the same afterwards; but a DKIM signature over the body breaks, so only
// what cannot go otherwise is to be converted.
//
// What is in a multipart/signed or multipart/encrypted is not touched
// (RFC 1847 §2.1), nor what MIME allows no encoding for; such a message fails
// with ErrProtected.
//
// A message is read in pieces, twice; memory is bounded by its structure.
package downgrade

import (
	"errors"
	"fmt"
	"io"

	"waxwing/format/message"
)

// A Target is what the next host takes.
type Target uint8

// The targets.
const (
	SevenBit Target = iota // RFC 5321 §2.3.1: nothing above 127, no NUL
	EightBit               // RFC 6152: lines of text, no NUL
)

// ErrProtected says that a message cannot be converted without breaking a
// promise about it.
var ErrProtected = errors.New("content must not be converted")

// maxHeader bounds the header of a part that is changed.
const maxHeader = 1 << 20

// A Converted message is a message as the target takes it.
type Converted struct {
	// EightBit says that there are octets above 127 left.
	EightBit bool
	// Changed says that it is not the message that it was.
	Changed bool
	// Size is how many octets it has.
	Size int64

	src      io.ReaderAt
	segments []segment
}

// Plan finds out what has to be converted. src must stay as it is until the
// last Reader is done.
func Plan(src io.ReaderAt, size int64, target Target) (*Converted, error) {
	m, err := message.Parse(io.NewSectionReader(src, 0, size))
	if err != nil {
		return nil, err
	}
	p := &planner{src: src, target: target}
	high, err := p.part(&m.Root, context{top: true})
	if err != nil {
		return nil, err
	}
	c := &Converted{EightBit: high, Changed: p.changed, src: src, Size: size}
	if !p.changed {
		c.segments = []segment{{at: 0, end: size}}
		return c, nil
	}
	p.copyTo(size)
	c.segments = p.segments
	if c.Size, err = io.Copy(io.Discard, c.Reader()); err != nil {
		return nil, err
	}
	return c, nil
}

// Reader gives the message from its first octet.
func (c *Converted) Reader() io.Reader {
	readers := make([]io.Reader, len(c.segments))
	for i, s := range c.segments {
		readers[i] = s.reader(c.src)
	}
	return io.MultiReader(readers...)
}

// A planner walks through the parts from the first octet to the last, and
// notes what becomes of each stretch.
type planner struct {
	src      io.ReaderAt
	target   Target
	segments []segment
	at       int64 // up to here everything is noted
	changed  bool
}

// context is what stands around a part.
type context struct {
	top       bool // it is the message itself
	protected bool // it is within what is signed or encrypted
}

// copyTo notes that everything up to an offset stays as it is.
func (p *planner) copyTo(end int64) {
	if end > p.at {
		p.segments = append(p.segments, segment{at: p.at, end: end})
		p.at = end
	}
}

func (p *planner) insert(text string) {
	p.segments = append(p.segments, segment{text: text})
	p.changed = true
}

// part notes what becomes of a part, and tells whether it holds octets above
// 127 afterwards.
func (p *planner) part(part *message.Part, in context) (high bool, err error) {
	if len(part.Parts) == 0 {
		return p.leaf(part, in)
	}
	if part.IsMessage() && part.Subtype == "global" && p.target == SevenBit {
		return p.leaf(part, in) // its header is 8-bit; it may be encoded, RFC 6532 §3.5
	}
	outside := in
	in.top = false
	in.protected = in.protected || part.Type == "multipart" && (part.Subtype == "signed" || part.Subtype == "encrypted")

	// The label of a composite is decided by what is in it, which comes after
	// it: its place among the segments is kept. RFC 2045 §6.4
	label, err := p.label(part)
	if err != nil {
		return false, err
	}
	gap := part.Body
	for i := range part.Parts {
		child := &part.Parts[i]
		gapHigh, err := p.gap(gap, child.Header, part, in)
		if err != nil {
			return false, err
		}
		childHigh, err := p.part(child, in)
		if err != nil {
			return false, err
		}
		high = high || gapHigh || childHigh
		gap = child.End
	}
	gapHigh, err := p.gap(gap, part.End, part, in)
	if err != nil {
		return false, err
	}
	high = high || gapHigh
	if label != nil {
		label(high, outside)
	}
	return high, nil
}

// gap deals with what stands between parts: delimiters, and text that nobody
// reads, which loses the octets that cannot go.
func (p *planner) gap(from, to int64, part *message.Part, in context) (high bool, err error) {
	if to <= from {
		return false, nil
	}
	f, err := scan(p.src, from, to)
	if err != nil || !f.spoils(p.target) {
		return f.high > 0, err
	}
	if part.IsMessage() || in.protected {
		return false, fmt.Errorf("%w: between parts", ErrProtected)
	}
	p.copyTo(from)
	p.segments = append(p.segments, segment{at: from, end: to, how: masked})
	p.at, p.changed = to, true
	return false, nil
}

// leaf deals with a part that holds no parts.
func (p *planner) leaf(part *message.Part, in context) (high bool, err error) {
	switch part.Encoding {
	case "7bit", "8bit", "binary":
	default:
		return false, nil // it is encoded already; no encoding goes over it, RFC 3030 §3
	}
	f, err := scan(p.src, part.Body, part.End)
	if err != nil {
		return false, err
	}
	binary := part.Encoding == "binary"
	if !f.spoils(p.target) && !(binary && f.unlined()) {
		if high = f.high > 0; part.Encoding == "7bit" || part.Encoding == "8bit" && (high || p.target == EightBit) || in.protected {
			return high, nil // to say more than is needed is no lie
		}
		return high, p.relabel(part, encodingOf(high), in)
	}
	composite := part.IsMultipart() || part.Type == "message" && part.Subtype != "global" &&
		part.Subtype != "global-headers" && part.Subtype != "global-delivery-status" && part.Subtype != "global-disposition-notification"
	if composite { // RFC 2045 §6.4, RFC 2046 §5.2
		return false, fmt.Errorf("%w: no encoding is allowed for %s/%s", ErrProtected, part.Type, part.Subtype)
	}
	encoding, how := "base64", based
	if part.Type == "text" && !f.bare && f.nul == 0 && 2*f.high < f.size {
		encoding, how = "quoted-printable", quoted
	}
	if err := p.header(part, encoding, f, in); err != nil {
		return false, err
	}
	p.copyTo(part.Body)
	p.segments = append(p.segments, segment{at: part.Body, end: part.End, how: how})
	p.at = part.End
	if in.top && how == based {
		p.insert("\r\n")
	}
	return false, nil
}

func encodingOf(high bool) string {
	if high {
		return "8bit"
	}
	return "7bit"
}
