package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"waxwing/mail"
)

// A Reply is what a filter answers, by its letter.
type Reply byte

// The replies that decide.
const (
	Continue Reply = 'c'
	Accept   Reply = 'a'
	Reject   Reply = 'r'
	TempFail Reply = 't'
	Discard  Reply = 'd'
	Skip     Reply = 's'
	Custom   Reply = 'y' // a reply of its own
	Shutdown Reply = '4' // 421
	ConnFail Reply = 'f' // drop the connection
	progress Reply = 'p' // more time, please
)

// A Verdict is what a filter has decided.
type Verdict struct {
	Reply Reply
	// Code, Enhanced and Text are a Custom reply; Enhanced is all zero if the
	// filter gave none. Lines of the text are separated by "\n".
	Code     int
	Enhanced [3]uint16
	Text     string
}

// A Change is what a filter does to a message at its end.
type Change interface{ needs() Actions }

// AddHeader appends a field. Value has LF line ends, as a filter writes it.
type AddHeader struct{ Name, Value string }

// InsertHeader puts a field at a place; 0 is in front of all.
type InsertHeader struct {
	Index       int
	Name, Value string
}

// ChangeHeader changes the Index-th field (from 1) of a name, adds it if there
// are not so many, or deletes it when Value is empty.
type ChangeHeader struct {
	Index       int
	Name, Value string
}

// ChangeFrom changes the reverse-path. Args are ESMTP parameters.
type ChangeFrom struct {
	From mail.Address
	Args string
}

// AddRecipient adds a recipient. Args are ESMTP parameters.
type AddRecipient struct {
	To   mail.Address
	Args string
}

// DeleteRecipient takes a recipient out.
type DeleteRecipient struct{ To mail.Address }

// ReplaceBody is a piece of the new body; the pieces follow each other.
type ReplaceBody struct{ Chunk []byte }

// Quarantine sets the message aside.
type Quarantine struct{ Reason string }

func (AddHeader) needs() Actions    { return MayAddHeaders }
func (InsertHeader) needs() Actions { return MayAddHeaders }
func (ChangeHeader) needs() Actions { return MayChangeHeader }
func (ChangeFrom) needs() Actions   { return MayChangeFrom }
func (a AddRecipient) needs() Actions {
	if a.Args != "" {
		return MayAddRcptArgs
	}
	return MayAddRcpt | MayAddRcptArgs
}
func (DeleteRecipient) needs() Actions { return MayDeleteRcpt }
func (ReplaceBody) needs() Actions     { return MayChangeBody }
func (Quarantine) needs() Actions      { return MayQuarantine }

// Permits tells whether a filter that has negotiated these actions may make
// the change.
func (a Actions) Permits(c Change) bool { return a&c.needs() != 0 }

// ParseReply reads a packet of a filter: a change, or a verdict, or neither
// when it only asks for more time.
func ParseReply(p Packet) (Change, *Verdict, error) {
	switch Reply(p.Code) {
	case Continue, Accept, Reject, TempFail, Discard, Skip, Shutdown, ConnFail:
		return nil, &Verdict{Reply: Reply(p.Code)}, nil
	case progress:
		return nil, nil, nil
	case Custom:
		v, err := parseCustom(p.Args)
		return nil, v, err
	}
	c, err := parseChange(p)
	return c, nil, err
}

func parseChange(p Packet) (Change, error) {
	switch p.Code {
	case 'h':
		name, value, err := field(p.Args)
		return AddHeader{name, value}, err
	case 'i', 'm':
		if len(p.Args) < 4 {
			return nil, errShort
		}
		index := int(min(binary.BigEndian.Uint32(p.Args), 1<<20))
		name, value, err := field(p.Args[4:])
		if p.Code == 'm' {
			return ChangeHeader{max(index, 1), name, value}, err
		}
		return InsertHeader{index, name, value}, err
	case 'b':
		return ReplaceBody{p.Args}, nil
	}
	list, err := stringsOf(p.Args, 2)
	if err != nil {
		return nil, err
	}
	switch p.Code {
	case 'q':
		return Quarantine{oneLine(list[0])}, nil
	case 'e':
		from, err := address(list[0])
		return ChangeFrom{from, oneLine(list[1])}, err
	case '+', '2':
		to, err := address(list[0])
		if err == nil && to.IsNull() {
			err = errors.New("the filter adds nobody")
		}
		return AddRecipient{to, oneLine(list[1])}, err
	case '-':
		to, err := address(list[0])
		return DeleteRecipient{to}, err
	}
	return nil, fmt.Errorf("the filter answers %q, which is nothing we know", p.Code)
}

// stringsOf reads up to n strings; those that are not there are empty, but one
// must be.
func stringsOf(b []byte, n int) ([]string, error) {
	list := make([]string, n)
	for i := range list {
		s, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			if i == 0 {
				return nil, errors.New("a string has no end")
			}
			return list, nil
		}
		list[i], b = string(s), rest
	}
	return list, nil
}

// field reads a field's name and value. Nothing in it can end the header or
// begin another field.
func field(b []byte) (name, value string, err error) {
	list, err := stringsOf(b, 2)
	if err != nil {
		return "", "", err
	}
	if name = list[0]; name == "" {
		return "", "", errors.New("the filter gives a field without a name")
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':' { // RFC 5322 §2.2
			return "", "", errors.New("the filter gives a field whose name is none")
		}
	}
	value = strings.ReplaceAll(list[1], "\r\n", "\n")
	value = strings.ReplaceAll(value, "\r", "\n")
	var out strings.Builder
	for i, line := range strings.Split(value, "\n") {
		if i > 0 {
			if strings.Trim(line, " \t") == "" {
				continue // an empty line would end the header
			}
			out.WriteByte('\n')
			if line[0] != ' ' && line[0] != '\t' {
				out.WriteByte('\t')
			}
		}
		out.WriteString(line)
	}
	return name, out.String(), nil
}

// address reads a path, with brackets or without.
func address(s string) (mail.Address, error) {
	s = strings.TrimSpace(s)
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	if s == "" {
		return mail.Address{}, nil
	}
	if strings.EqualFold(s, "postmaster") { // RFC 5321 §4.1.1.3
		return mail.Address{Local: s}, nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return mail.Address{}, fmt.Errorf("the filter's address: %w", err)
	}
	return a, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// maxReply is the longest text of a filter's own reply that is passed on.
const maxReply = 4 << 10

// parseCustom reads an SMTP reply, of one line or several. A doubled percent
// sign is one.
func parseCustom(b []byte) (*Verdict, error) {
	list, err := stringsOf(b[:min(len(b), maxReply)], 1)
	if len(b) > maxReply {
		list, err = []string{string(b[:maxReply])}, nil
	}
	if err != nil {
		return nil, err
	}
	v := &Verdict{Reply: Custom}
	for i, line := range strings.FieldsFunc(list[0], func(r rune) bool { return r == '\r' || r == '\n' }) {
		if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" {
			return nil, errors.New("the filter's reply has no code")
		}
		code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		text := strings.TrimLeft(line[3:], " -")
		enhanced, rest, ok := cutEnhanced(text)
		if ok {
			text = rest
		}
		if i == 0 {
			v.Code, v.Enhanced = code, enhanced
		} else {
			v.Text += "\n"
		}
		v.Text += strings.ReplaceAll(text, "%%", "%")
	}
	if v.Code/100 != 4 && v.Code/100 != 5 {
		return nil, fmt.Errorf("the filter's reply %d refuses nothing", v.Code)
	}
	if int(v.Enhanced[0]) != v.Code/100 {
		v.Enhanced = [3]uint16{}
	}
	return v, nil
}

// cutEnhanced takes the enhanced status code from the beginning of a text.
func cutEnhanced(s string) (code [3]uint16, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return code, s, false
	}
	for i, p := range parts {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return [3]uint16{}, s, false
		}
		for _, c := range []byte(p) {
			code[i] = code[i]*10 + uint16(c-'0')
		}
	}
	return code, rest, true
}
