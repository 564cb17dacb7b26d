package milter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxPacket is the largest packet that is read. A filter's own limit is 64 KiB
// unless it was built for more, 1 MiB at most.
const MaxPacket = 1<<20 + 1<<10

// ChunkSize is the largest piece of a body.
const ChunkSize = 65535

var errShort = errors.New("packet is too short")

// A Packet is one packet.
type Packet struct {
	Code byte
	Args []byte
}

// ReadPacket reads a packet into buf, which it grows as far as it must, and
// gives the buffer for the next time. Args is a part of it.
func ReadPacket(r io.Reader, buf []byte) (Packet, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Packet{}, buf, err
	}
	size := binary.BigEndian.Uint32(head[:])
	switch {
	case size == 0:
		return Packet{}, buf, errShort
	case size > MaxPacket:
		return Packet{}, buf, fmt.Errorf("packet of %d octets is too large", size)
	}
	n := int(size) - 1
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Packet{}, buf, err
	}
	return Packet{head[4], buf}, buf, nil
}

// appendPacket writes a packet whose arguments args appends.
func appendPacket(dst []byte, code byte, args func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, code)
	if args != nil {
		dst = args(dst)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendString writes a string with its NUL. A NUL within would end it early
// and make another argument of the rest, so it ends there.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	return append(append(dst, s...), 0)
}
