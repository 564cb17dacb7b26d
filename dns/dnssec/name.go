package dnssec

import (
	"bytes"
	"strings"

	wire "github.com/miekg/dns"
)

// Names are in the library's presentation form, absolute and in lower case, as
// wire.CanonicalName gives them.

// maxName is the longest name in wire form. RFC 1035 §2.3.4
const maxName = 255

// wireName gives a name's octets in lower case; false for what is no name.
func wireName(name string) ([]byte, bool) {
	var buf [maxName + 1]byte
	n, err := wire.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return nil, false
	}
	b := bytes.Clone(buf[:n])
	lower(b)
	return b, true
}

// lower makes ASCII letters small. Octets that give the length of a label are
// under 64 and stay as they are.
func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// labelsOf cuts a name in wire form into its labels, the last one first.
func labelsOf(b []byte) [][]byte {
	var labels [][]byte
	for len(b) > 0 && b[0] != 0 {
		n := int(b[0]) + 1
		if n > len(b) {
			break
		}
		labels = append(labels, b[1:n])
		b = b[n:]
	}
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return labels
}

// Compare orders names as NSEC records do. RFC 4034 §6.1
func Compare(a, b string) int {
	wa, _ := wireName(a)
	wb, _ := wireName(b)
	la, lb := labelsOf(wa), labelsOf(wb)
	for i := range min(len(la), len(lb)) {
		if c := bytes.Compare(la[i], lb[i]); c != 0 {
			return c
		}
	}
	return len(la) - len(lb)
}

// parent gives the name without its first label; the root is its own parent.
func parent(name string) string {
	i, end := wire.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// suffix gives the last n labels of a name.
func suffix(name string, n int) string {
	for range wire.CountLabel(name) - n {
		name = parent(name)
	}
	return name
}

// below tells whether a name lies strictly below another.
func below(name, ancestor string) bool {
	return name != ancestor && wire.IsSubDomain(ancestor, name)
}

// shared gives the longest ancestor that two names have in common.
func shared(a, b string) string {
	return suffix(a, wire.CompareDomainName(a, b))
}

// wildcardOf gives the name of the wildcard below a name.
func wildcardOf(name string) string {
	if name == "." {
		return "*."
	}
	return "*." + name
}

func isWildcard(name string) bool { return strings.HasPrefix(name, "*.") }
