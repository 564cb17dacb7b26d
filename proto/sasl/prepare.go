package sasl

import (
	"fmt"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// saslprep is RFC 4013 for query strings: code points that Unicode 3.2 did
// not know are let through. RFC 3454 §7
//
// Deviation: RFC 4013 §2.5 has no unassigned code points in stored strings,
// but then no password could hold an emoji, and clients send them.
var saslprep = stringprep.Profile{
	Mappings: []stringprep.Mapping{
		stringprep.TableB1, // RFC 4013 §2.1: mapped to nothing
		nonASCIISpaces,
	},
	Normalize: true, // RFC 4013 §2.2
	Prohibits: []stringprep.Set{ // RFC 4013 §2.3
		stringprep.TableC1_2,
		stringprep.TableC2_1,
		stringprep.TableC2_2,
		stringprep.TableC3,
		stringprep.TableC4,
		stringprep.TableC5,
		stringprep.TableC6,
		stringprep.TableC7,
		stringprep.TableC8,
		stringprep.TableC9,
	},
	CheckBiDi: true, // RFC 4013 §2.4
}

// nonASCIISpaces maps the spaces of RFC 3454 C.1.2 to SPACE. RFC 4013 §2.1
var nonASCIISpaces = func() stringprep.Mapping {
	m := stringprep.Mapping{0x00A0: {' '}, 0x1680: {' '}, 0x202F: {' '}, 0x205F: {' '}, 0x3000: {' '}}
	for r := rune(0x2000); r <= 0x200B; r++ {
		m[r] = []rune{' '}
	}
	return m
}()

// Prepare gives a user name or password as it is compared and hashed, so
// that the same one typed on different keyboards is the same octets.
// RFC 4013; RFC 4616 §2, RFC 5802 §2.2
func Prepare(s string) (string, error) {
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f: // RFC 3454 C.2.1
			return "", fmt.Errorf("%w: control character", ErrMalformed)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if ascii {
		return s, nil
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	out, err := saslprep.Prepare(s)
	if err != nil {
		return "", fmt.Errorf("%w: prohibited character", ErrMalformed)
	}
	return out, nil
}
