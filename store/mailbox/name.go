package mailbox

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"waxwing/store/keys"
)

// InboxName is the name of the mailbox that every account has. RFC 9051 §5.1
const InboxName = "INBOX"

// Separator stands between the levels of a name. RFC 9051 §5.1.1
const Separator = "/"

const (
	maxName   = 1000 // octets
	maxLevels = 32
)

// CleanName gives the form in which a mailbox name is kept: NFC, INBOX in
// capitals. It refuses what IMAP cannot carry or people cannot tell apart:
// control characters (RFC 9051 §5.1), wildcards, empty levels, levels that
// begin or end with a space.
func CleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: not UTF-8", ErrName)
	}
	name = norm.NFC.String(name)
	if len(name) > maxName {
		return "", fmt.Errorf("%w: longer than %d octets", ErrName, maxName)
	}
	for _, r := range name {
		switch {
		case r == '%' || r == '*': // LIST could not name it
			return "", fmt.Errorf("%w: has a wildcard", ErrName)
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || isNonCharacter(r):
			return "", fmt.Errorf("%w: has a control character", ErrName)
		}
	}
	levels := strings.Split(name, Separator)
	if len(levels) > maxLevels {
		return "", fmt.Errorf("%w: deeper than %d levels", ErrName, maxLevels)
	}
	for _, level := range levels {
		if level == "" || level != strings.TrimSpace(level) || level == "." || level == ".." {
			return "", fmt.Errorf("%w: has an empty or odd level", ErrName)
		}
	}
	if strings.EqualFold(levels[0], InboxName) {
		levels[0] = InboxName
	} else if strings.HasPrefix(name, "#") {
		return "", fmt.Errorf("%w: # is for namespaces", ErrName) // RFC 9051 §5.1.2.1
	}
	return strings.Join(levels, Separator), nil
}

func isNonCharacter(r rune) bool {
	return r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef
}

// parents gives the names above one, the shortest first.
func parents(name string) []string {
	var list []string
	for i := 0; i < len(name); i++ {
		if name[i] == Separator[0] {
			list = append(list, name[:i])
		}
	}
	return list
}

// isBelow tells whether a name is under another.
func isBelow(name, parent string) bool {
	return len(name) > len(parent) && strings.HasPrefix(name, parent) && name[len(parent)] == Separator[0]
}

// compareNames orders names for people and LIST: INBOX with what is below it
// first, a parent before its children.
func compareNames(a, b string) int {
	inA, inB := a == InboxName || isBelow(a, InboxName), b == InboxName || isBelow(b, InboxName)
	switch {
	case inA && !inB:
		return -1
	case inB && !inA:
		return 1
	}
	return slices.CompareFunc(strings.Split(a, Separator), strings.Split(b, Separator), strings.Compare)
}

// appendSubscriptionKey hashes the name, which may be longer than a key.
func appendSubscriptionKey(dst []byte, name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return append(append(dst, keys.Subscr), sum[:16]...)
}
