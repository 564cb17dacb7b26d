package deliver

import (
	"strings"

	"waxwing/format/message"
)

// SaysJunk tells whether a field says that the message is spam, as filters
// write it: "X-Spam: Yes" or "X-Spam-Flag: YES". Anybody can write that; it
// counts only where we know who did.
func SaysJunk(name, raw string) bool {
	if !strings.EqualFold(name, "X-Spam") && !strings.EqualFold(name, "X-Spam-Flag") {
		return false
	}
	_, value, _ := strings.Cut(raw, ":")
	return strings.EqualFold(strings.TrimSpace(value), "yes")
}

// WasJunk tells of a message from our queue whether it was held to be spam
// when it came: filters' fields stand above our Received, where nobody else
// can have put them.
func (a *Arrival) WasJunk() (bool, error) {
	header, err := a.Header()
	if err != nil {
		return false, err
	}
	for f := range message.Fields(header) {
		switch {
		case f.Is("Received"):
			return false, nil
		case SaysJunk(string(f.Name), string(header[f.Start:f.End])):
			return true, nil
		}
	}
	return false, nil
}
