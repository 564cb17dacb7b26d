package message

import "strings"

// An Only says what of a message is wanted. What is not is zero, and is not looked
// at as closely as it would be otherwise.
type Only uint8

// Everything, or one thing with the date, the size and the preview.
const (
	Everything Only = iota
	EnvelopeOnly
	StructureOnly // Root
	PreviewOnly
)

// A Decoder decodes one message after the other into the same memory. The zero
// value is ready.
type Decoder struct {
	Only Only

	message Message
	text    strings.Builder // its strings point into this
	room    room
}

// textChunk is how much text shares an allocation. largeForm is the length of
// forms that are decoded into memory of their own, so that a Decoder never has
// much of it.
const (
	textChunk = 32 << 10
	largeForm = 16 << 10
)

// Decode is like the function Decode, but the message is valid only until the
// next call.
func (r *Decoder) Decode(b []byte) (*Message, error) {
	if len(b) > largeForm || len(b) == 0 || b[0] != binaryVersion {
		return Decode(b) // everything does no harm
	}
	if r.text.Cap()-r.text.Len() < len(b) {
		r.text.Reset()
		r.text.Grow(textChunk)
	}
	from := r.text.Len()
	r.text.Write(b)
	d := decoder{s: r.text.String()[from:], at: 1, only: r.Only, room: &r.room}
	r.message = Message{}
	d.message(&r.message)
	whole := r.Only == Everything || r.Only == StructureOnly // to the end
	if d.failed || whole && d.at != len(d.s) {
		return nil, errCorrupt
	}
	return &r.message, nil
}

// skipEnvelope passes over an envelope.
func (d *decoder) skipEnvelope() {
	d.skipStrings(4)
	for range 6 { // lists of addresses
		for n := d.count(4); n > 0 && !d.failed; n-- {
			d.number()
			d.skipStrings(3)
		}
	}
}

// skipStrings passes over strings.
func (d *decoder) skipStrings(n int) {
	for ; n > 0 && !d.failed; n-- {
		k := d.number()
		if k&1 == 1 { // a common word
			continue
		}
		if k >>= 1; k > uint64(len(d.s)-d.at) {
			d.failed = true
			return
		}
		d.at += int(k)
	}
}
