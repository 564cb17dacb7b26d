package message

import "strings"

// A Decoder decodes one message after the other into the same memory. The zero
// value is ready.
type Decoder struct {
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
		return Decode(b)
	}
	if r.text.Cap()-r.text.Len() < len(b) {
		r.text.Reset()
		r.text.Grow(textChunk)
	}
	from := r.text.Len()
	r.text.Write(b)
	d := decoder{s: r.text.String()[from:], at: 1, room: &r.room}
	r.message = Message{}
	d.message(&r.message)
	if d.failed || d.at != len(d.s) {
		return nil, errCorrupt
	}
	return &r.message, nil
}
