package milter

import (
	"encoding/binary"
	"net/netip"
)

// Commands without arguments.
const (
	Data      = 'T'
	EndHeader = 'N'
	End       = 'E'
	Abort     = 'A'
	Quit      = 'Q'
	QuitNC    = 'K' // the line stays, for another connection
)

// AppendPlain writes a command without arguments.
func AppendPlain(dst []byte, code byte) []byte { return appendPacket(dst, code, nil) }

// AppendConnect tells who has connected: its name (or its address in
// brackets), address and port. The zero address is one that is not known.
func AppendConnect(dst []byte, name string, at netip.AddrPort) []byte {
	return appendPacket(dst, 'C', func(dst []byte) []byte {
		dst = appendString(dst, name)
		addr := at.Addr().Unmap()
		if !addr.IsValid() {
			return append(dst, 'U')
		}
		family, text := byte('4'), addr.String()
		if addr.Is6() {
			family, text = '6', addr.WithZone("").String()
		}
		dst = append(dst, family)
		dst = binary.BigEndian.AppendUint16(dst, at.Port())
		return appendString(dst, text)
	})
}

// AppendHelo tells of HELO or EHLO.
func AppendHelo(dst []byte, name string) []byte {
	return appendPacket(dst, 'H', func(dst []byte) []byte { return appendString(dst, name) })
}

// AppendMail tells of MAIL: the path in its brackets and the parameters.
func AppendMail(dst []byte, args ...string) []byte { return appendStrings(dst, 'M', args) }

// AppendRcpt tells of RCPT: the path in its brackets and the parameters.
func AppendRcpt(dst []byte, args ...string) []byte { return appendStrings(dst, 'R', args) }

// AppendUnknown tells of a command that is none, with the whole line.
func AppendUnknown(dst []byte, line string) []byte {
	return appendPacket(dst, 'U', func(dst []byte) []byte { return appendString(dst, line) })
}

// AppendHeader sends one field.
func AppendHeader(dst []byte, name, value string) []byte {
	return appendStrings(dst, 'L', []string{name, value})
}

// AppendBody sends a piece of the body, ChunkSize octets at most.
func AppendBody(dst, chunk []byte) []byte {
	return appendPacket(dst, 'B', func(dst []byte) []byte { return append(dst, chunk...) })
}

func appendStrings(dst []byte, code byte, list []string) []byte {
	return appendPacket(dst, code, func(dst []byte) []byte {
		for _, s := range list {
			dst = appendString(dst, s)
		}
		return dst
	})
}

// AppendMacros defines macros for a stage: names in turn with values. A name
// of more than one letter goes in braces.
func AppendMacros(dst []byte, stage Stage, pairs ...string) []byte {
	return appendPacket(dst, 'D', func(dst []byte) []byte {
		dst = append(dst, letters[stage])
		for _, s := range pairs {
			dst = appendString(dst, s)
		}
		return dst
	})
}
