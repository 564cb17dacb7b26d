package mailbox

import (
	"fmt"

	"waxwing/format/message"
)

// A Known is what an account keeps of a message, besides its octets.
type Known struct {
	message  []byte // message.Message.AppendBinary
	mentions [][]byte
}

// Know makes what an account keeps of a parsed message. It takes some time, and
// may be called wherever there is some.
func Know(m *message.Message) *Known {
	return &Known{m.AppendBinary(make([]byte, 0, 768)), mentionKeys(m)}
}

// know gives what is known of an entry; what is still to be made is appended to
// records.
func (e *NewEntry) know(records *[]byte) (Known, error) {
	if e.Known != nil {
		return *e.Known, nil
	}
	parsed := e.Parsed
	if parsed == nil {
		var err error
		if parsed, err = message.Parse(e.Body.Reader()); err != nil {
			return Known{}, fmt.Errorf("parse message: %w", err)
		}
	}
	at := len(*records)
	*records = parsed.AppendBinary(*records)
	return Known{(*records)[at:len(*records):len(*records)], mentionKeys(parsed)}, nil
}
