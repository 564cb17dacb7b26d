package trace

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"

	"waxwing/mail"
)

// Limits of what is kept of strangers' words.
const (
	maxText       = 512 // octets
	maxRecipients = 100
	maxFacts      = 32
	maxLists      = 24 << 10 // octets of recipients, and of facts, in one step
)

// A step, as it lies in a block:
//
//	uvarint octets of the step, then its fields in any order:
//	a field's number, and a uvarint; from firstText on that counts the octets
//	that follow it
//
// What is empty is left out. Numbers are never used again; a number that is
// not known is passed over.
const (
	fieldTime    = 1 // nanoseconds since 1970
	fieldStep    = 2
	fieldAccount = 3
	fieldSize    = 4
	fieldTook    = 5

	firstText      = 32
	fieldMessage   = 32
	fieldMessageID = 33
	fieldQueue     = 34
	fieldService   = 35
	fieldRemote    = 36
	fieldHello     = 37
	fieldTLS       = 38
	fieldFrom      = 39
	fieldTo        = 40 // once for each
	fieldReason    = 41
	fieldFactName  = 42 // once for each; its value follows
	fieldFactValue = 43
)

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

func appendNumber(b []byte, field byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, field), n)
}

func appendText(b []byte, field byte, s string) []byte {
	if s == "" {
		return b
	}
	return appendAny(b, field, s)
}

func appendAny(b []byte, field byte, s string) []byte {
	s = clip(s)
	return append(binary.AppendUvarint(append(b, field), uint64(len(s))), s...)
}

// lengthRoom is what the length in front of a step takes.
const lengthRoom = 3

// appendStep writes one step.
func appendStep(b []byte, e *Event) []byte {
	start := len(b)
	b = append(b, 0, 0, 0)
	b = appendNumber(b, fieldTime, uint64(e.Time.UnixNano()))
	b = appendNumber(b, fieldStep, uint64(e.Step))
	b = appendNumber(b, fieldAccount, uint64(e.Account))
	b = appendNumber(b, fieldSize, uint64(e.Size))
	b = appendNumber(b, fieldTook, uint64(e.Took))
	b = appendText(b, fieldMessage, e.Message)
	b = appendText(b, fieldMessageID, e.MessageID)
	b = appendText(b, fieldQueue, e.Queue)
	b = appendText(b, fieldService, e.Service)
	b = appendText(b, fieldRemote, e.Remote)
	b = appendText(b, fieldHello, e.Hello)
	b = appendText(b, fieldTLS, e.TLS)
	b = appendText(b, fieldFrom, e.From)
	b = appendText(b, fieldReason, e.Reason)
	for i, from := 0, len(b); i < min(len(e.To), maxRecipients) && len(b)-from < maxLists; i++ {
		b = appendText(b, fieldTo, e.To[i])
	}
	for i, from := 0, len(b); i < min(len(e.Facts), maxFacts) && len(b)-from < maxLists; i++ {
		b = appendAny(b, fieldFactName, e.Facts[i].Name)
		b = appendAny(b, fieldFactValue, e.Facts[i].Value)
	}
	putLength(b[start:], len(b)-start-lengthRoom)
	return b
}

// putLength writes a uvarint of lengthRoom octets, longer than it must be.
func putLength(b []byte, n int) {
	b[0], b[1], b[2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)&0x7f
}

var errDamaged = errors.New("steps are damaged")

// cut takes the next n octets, as a uvarint says.
func cut(b []byte) (piece, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errDamaged
	}
	return b[used : used+int(n)], b[used+int(n):], nil
}

// decodeSteps reads the steps of a block.
func decodeSteps(b []byte) (events []Event, err error) {
	for len(b) > 0 {
		var step []byte
		if step, b, err = cut(b); err != nil {
			return nil, err
		}
		e, err := decodeStep(step)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func decodeStep(b []byte) (e Event, err error) {
	for len(b) > 0 {
		field := b[0]
		if field >= firstText {
			var text []byte
			if text, b, err = cut(b[1:]); err != nil {
				return e, err
			}
			e.setText(field, string(text))
			continue
		}
		n, used := binary.Uvarint(b[1:])
		if used <= 0 {
			return e, errDamaged
		}
		b = b[1+used:]
		e.setNumber(field, n)
	}
	return e, nil
}

func (e *Event) setNumber(field byte, n uint64) {
	switch field {
	case fieldTime:
		e.Time = time.Unix(0, int64(n))
	case fieldStep:
		e.Step = Step(n)
	case fieldAccount:
		e.Account = mail.AccountID(n)
	case fieldSize:
		e.Size = mail.ByteCount(n)
	case fieldTook:
		e.Took = time.Duration(n)
	}
}

func (e *Event) setText(field byte, s string) {
	switch field {
	case fieldMessage:
		e.Message = s
	case fieldMessageID:
		e.MessageID = s
	case fieldQueue:
		e.Queue = s
	case fieldService:
		e.Service = s
	case fieldRemote:
		e.Remote = s
	case fieldHello:
		e.Hello = s
	case fieldTLS:
		e.TLS = s
	case fieldFrom:
		e.From = s
	case fieldTo:
		e.To = append(e.To, s)
	case fieldReason:
		e.Reason = s
	case fieldFactName:
		e.Facts = append(e.Facts, Fact{Name: s})
	case fieldFactValue:
		if n := len(e.Facts); n > 0 {
			e.Facts[n-1].Value = s
		}
	}
}

// words calls fn with each id, address and host of a step.
func (e *Event) words(fn func(string)) {
	fn(e.Message)
	fn(e.MessageID)
	fn(e.Queue)
	fn(e.From)
	fn(host(e.Remote))
	for _, to := range e.To[:min(len(e.To), maxRecipients)] {
		fn(to)
	}
}

// normal gives the form in which ids and addresses are compared.
func normal(text string) string {
	return strings.ToLower(strings.Trim(strings.TrimSpace(clip(text)), "<>"))
}

// host gives the address of "192.0.2.1:25" or "mx.example[192.0.2.1:25]".
func host(remote string) string {
	if strings.IndexByte(remote, ':') < 0 {
		return remote
	}
	if _, inner, ok := strings.Cut(remote, "["); ok && strings.HasSuffix(inner, "]") && !strings.HasPrefix(remote, "[") {
		remote = inner[:len(inner)-1]
		if i := strings.LastIndex(remote, "]:"); i > 0 {
			remote = "[" + strings.TrimPrefix(remote, "[")
		}
	}
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return at.Addr().String()
	}
	return remote
}

// The numbers of FNV-1a.
const (
	hashBasis = 14695981039346656037
	hashPrime = 1099511628211
)

// hash is FNV-1a, half of it: short, and the same for ever. A word that is not
// the one looked for is found out when its step is read.
func hash(word string) uint32 {
	h := uint64(hashBasis)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * hashPrime
	}
	return uint32(h >> 32)
}

// hashOf gives the hash of a word's normal form; false if nothing is left of it.
// Most words are in that form, but for capitals.
func hashOf(word string) (uint32, bool) {
	h := uint64(hashBasis)
	for i := range len(word) {
		c := word[i]
		if c <= ' ' || c >= 0x7f || c == '<' || c == '>' || i >= maxText {
			word = normal(word)
			return hash(word), word != ""
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * hashPrime
	}
	return uint32(h >> 32), word != ""
}
