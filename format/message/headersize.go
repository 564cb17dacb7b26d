package message

import "encoding/binary"

// HeaderSize gives Root.Body of an encoded message, which is how long its
// header is with the empty line, without decoding the rest.
func HeaderSize(b []byte) (int64, error) {
	if len(b) == 0 || b[0] != binaryVersion {
		return 0, errCorrupt
	}
	s := skipper{b: b[1:]}
	for range 7 { // totals, size
		s.number()
	}
	if s.number() == 1 {
		s.number() // date
	}
	s.text() // preview
	for range 4 {
		s.text()
	}
	for range 6 { // address lists
		for n := s.number(); n > 0 && !s.failed; n-- {
			s.number()
			s.text()
			s.text()
			s.text()
		}
	}
	for n := s.number(); n > 0 && !s.failed; n-- { // references
		s.text()
	}
	for n := s.number(); n > 0 && !s.failed; n-- { // defects
		s.number()
		s.text()
	}
	header := s.signed()
	size := header + s.signed()
	if s.failed || header < 0 || size < header {
		return 0, errCorrupt
	}
	return size, nil
}

// A skipper passes over the parts of a binary form.
type skipper struct {
	b      []byte
	failed bool
}

func (s *skipper) number() uint64 {
	if len(s.b) > 0 && s.b[0] < 0x80 {
		n := s.b[0]
		s.b = s.b[1:]
		return uint64(n)
	}
	n, k := binary.Uvarint(s.b)
	if k <= 0 {
		s.failed, s.b = true, nil
		return 0
	}
	s.b = s.b[k:]
	return n
}

func (s *skipper) signed() int64 {
	n := s.number()
	return int64(n>>1) ^ -int64(n&1)
}

func (s *skipper) text() {
	n := s.number()
	if n&1 == 1 { // a common word
		return
	}
	if n >>= 1; n > uint64(len(s.b)) {
		s.failed, s.b = true, nil
		return
	}
	s.b = s.b[n:]
}
