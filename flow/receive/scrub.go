package receive

import (
	"bytes"
	"io"

	"waxwing/trust/verify"
)

// maxClaim is how much of a field is looked at to find out whose it is. The rest
// goes the way of the beginning.
const maxClaim = 64 << 10

// A scrubber takes out of a message that is written to it the fields that
// claim to be our Authentication-Results (RFC 8601 §5) or Received-SPF, and those
// of BIMI that only a receiver writes, and lets all else pass as it came.
//
// Lines end with LF and the header with an empty one, whatever stands in it:
// nobody finds a field in a message that is not found here.
type scrubber struct {
	to     io.Writer
	server string // our authserv-id
	gone   int    // fields that were taken out

	partial []byte // the beginning of a line whose end has not come
	claim   claim
	held    []byte // of the field, while it is held
	middle  bool   // of a line that is longer than anybody wants
	body    bool
}

// A claim says what is known of the field that is being written.
type claim uint8

const (
	claimNone claim = iota // it is another, or somebody else's
	claimHeld              // it may claim to be ours; not decided yet
	claimOurs              // it is taken out
)

// onlyOurs are the names of fields that nobody but us writes: a mail reader
// would show what they say. draft-brand-indicators-for-message-identification
var onlyOurs = []string{"bimi-location", "bimi-indicator"}

// begins tells whether a line begins a field with one of some names, or may do so
// where it is longer than anybody wants.
func begins(line []byte, names []string) bool {
	for _, name := range names {
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			rest := bytes.TrimLeft(line[len(name):], " \t")
			return len(rest) == 0 || rest[0] == ':'
		}
	}
	return false
}

// Write takes the next octets of the message.
func (s *scrubber) Write(p []byte) (int, error) {
	n := len(p)
	if s.body {
		return s.to.Write(p)
	}
	if len(s.partial) > 0 {
		p, s.partial = append(s.partial, p...), nil
	}
	passes, at := 0, 0 // from where what is let through begins, and the line
	for at < len(p) && !s.body {
		end := at + 1 + bytes.IndexByte(p[at:], '\n')
		if end == at {
			if len(p)-at < maxClaim {
				break
			}
			end = len(p)
		}
		keep, err := s.line(p[at:end], p[passes:at])
		if err != nil {
			return 0, err
		}
		if !keep {
			passes = end
		}
		at = end
	}
	if s.body {
		at = len(p)
	} else {
		s.partial = bytes.Clone(p[at:])
	}
	if at > passes {
		if _, err := s.to.Write(p[passes:at]); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// line looks at one line of the header, or as much of it as anybody wants, and
// tells whether it is let through. before has not been passed on yet, and is if
// it is not.
func (s *scrubber) line(line, before []byte) (keep bool, err error) {
	blank := !s.middle && len(bytes.TrimRight(line, "\r\n")) == 0
	if !s.middle && (blank || line[0] != ' ' && line[0] != '\t') {
		if err := s.decide(); err != nil {
			return false, err
		}
		s.claim = claimNone
		s.body = blank
		switch {
		case begins(line, verify.Claimants):
			s.claim = claimHeld
		case begins(line, onlyOurs):
			s.claim = claimOurs
			s.gone++
		}
		if s.claim != claimNone {
			if _, err := s.to.Write(before); err != nil {
				return false, err
			}
		}
	}
	s.middle = line[len(line)-1] != '\n'
	if s.claim != claimHeld {
		return s.claim == claimNone, nil
	}
	if s.held = append(s.held, line...); len(s.held) > maxClaim {
		return false, s.decide()
	}
	return false, nil
}

// decide finds out whose a held field is.
func (s *scrubber) decide() error {
	if s.claim != claimHeld {
		return nil
	}
	field := s.held
	s.held = nil
	if verify.Forged(field, s.server) {
		s.claim = claimOurs
		s.gone++
		return nil
	}
	s.claim = claimNone
	_, err := s.to.Write(field)
	return err
}

// end ends the message.
func (s *scrubber) end() error {
	if len(s.partial) > 0 {
		keep, err := s.line(s.partial, nil)
		if err == nil && keep {
			_, err = s.to.Write(s.partial)
		}
		if err != nil {
			return err
		}
	}
	return s.decide()
}
