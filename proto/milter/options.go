package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Version is the protocol's version that we speak; older filters choose an
// older one, down to oldest.
const (
	Version = 6
	oldest  = 2
)

// Actions are what a filter may want to do to a message (SMFIF).
type Actions uint32

// The actions.
const (
	MayAddHeaders   Actions = 1 << iota // 'h' and 'i'
	MayChangeBody                       // 'b'
	MayAddRcpt                          // '+'
	MayDeleteRcpt                       // '-'
	MayChangeHeader                     // 'm'
	MayQuarantine                       // 'q'
	MayChangeFrom                       // 'e'
	MayAddRcptArgs                      // '2'
	MaySetMacros                        // macro names in the negotiation

	AllActions = MaySetMacros<<1 - 1
)

// Steps are what a filter does not want to be told of, or will not answer
// (SMFIP).
type Steps uint32

// The steps.
const (
	NoConnect     Steps = 1 << iota
	NoHelo              // not told of HELO and EHLO
	NoMail              // not told of MAIL
	NoRcpt              // not told of RCPT
	NoBody              // not sent the body
	NoHeaders           // not sent the header
	NoEOH               // not told of the header's end
	SilentHeader        // does not answer fields
	NoUnknown           // not told of unknown commands
	NoData              // not told of DATA
	CanSkip             // we understand 's'
	WantRejected        // is told of recipients that are refused already
	SilentConnect       // does not answer these
	SilentHelo          //
	SilentMail          //
	SilentRcpt          //
	SilentData          //
	SilentUnknown       //
	SilentEOH           //
	SilentBody          //
	LeadingSpace        // white space behind a field's colon is kept

	AllSteps = LeadingSpace<<1 - 1
)

// A Stage is when macros are sent; the number is that of SMFIM.
type Stage uint32

// The stages.
const (
	AtConnect Stage = iota
	AtHelo
	AtMail
	AtRcpt
	AtData
	AtEnd
	AtEOH
	AtUnknown // has no number: names for it cannot be negotiated

	Stages = 8
)

// letters are the commands whose macros the stages are.
const letters = "CHMRTENU"

// An Offer is one side of the negotiation.
type Offer struct {
	Version uint32
	Actions Actions
	Steps   Steps
	// Macros are the names that the filter wants at a stage, in place of the
	// usual ones; nil where it said nothing. Only in its answer.
	Macros [Stages][]string
}

// Append writes the offer as a packet.
func (o Offer) Append(dst []byte) []byte {
	return appendPacket(dst, 'O', func(dst []byte) []byte {
		dst = binary.BigEndian.AppendUint32(dst, o.Version)
		dst = binary.BigEndian.AppendUint32(dst, uint32(o.Actions))
		return binary.BigEndian.AppendUint32(dst, uint32(o.Steps))
	})
}

// maxMacros is how many names a filter may ask for at one stage.
const maxMacros = 100

// ParseOffer reads what a filter answers to the offer ours.
func ParseOffer(p Packet, ours Offer) (Offer, error) {
	if p.Code != 'O' || len(p.Args) < 12 {
		return Offer{}, errors.New("the filter does not negotiate")
	}
	o := Offer{
		Version: binary.BigEndian.Uint32(p.Args),
		Actions: Actions(binary.BigEndian.Uint32(p.Args[4:])),
		Steps:   Steps(binary.BigEndian.Uint32(p.Args[8:])),
	}
	switch {
	case o.Version < oldest || o.Version > ours.Version:
		return Offer{}, fmt.Errorf("the filter speaks version %d of the protocol", o.Version)
	case o.Actions&^ours.Actions != 0:
		return Offer{}, fmt.Errorf("the filter wants to do what we do not know (%#x)", uint32(o.Actions))
	}
	// Bits that we did not offer have no meaning for us.
	o.Steps &= ours.Steps
	for rest := p.Args[12:]; len(rest) > 0; {
		if len(rest) < 5 {
			return Offer{}, errShort
		}
		stage := Stage(binary.BigEndian.Uint32(rest))
		names, after, ok := bytes.Cut(rest[4:], []byte{0})
		if !ok || stage > AtEOH {
			return Offer{}, errors.New("the filter's list of macros is malformed")
		}
		list := strings.FieldsFunc(string(names), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
		if len(list) > maxMacros {
			return Offer{}, errors.New("the filter wants too many macros")
		}
		o.Macros[stage] = append([]string{}, list...)
		rest = after
	}
	return o, nil
}
