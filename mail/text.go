package mail

import (
	"errors"
	"strings"
)

// MarshalText gives what String gives, so that addresses stand in JSON, CBOR
// and logs as people know them.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote: an address, a bare
// "postmaster", or nothing for the null address.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case s == "":
		*a = Address{}
		return nil
	case strings.EqualFold(s, "postmaster"):
		*a = Address{Local: s}
		return nil
	case len(s) > 2*maxPath:
		return errors.New("address is too long")
	}
	parsed, err := ParseAddress(s)
	if err == nil {
		*a = parsed
	}
	return err
}
