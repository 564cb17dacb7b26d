// Package maildir knows the names of a Maildir: what the name of a file says of
// the message in it, and the small files that Dovecot keeps beside. It touches
// no files.
//
//	new/1136455872.M20046P2137.mailhost                    not yet seen by any program
//	cur/1136455872.M20046P2137.mailhost,S=4120,W=4200:2,FSa
//	    |                              |             |  |||
//	    unique for ever                sizes         flags, and a keyword
//
// Sources: Bernstein's maildir(5); Maildir++ of Courier (sizes, folders);
// Dovecot's documentation of mail_location (keywords, W=).
package maildir

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"waxwing/mail"
)

// A Name is the name of a message's file, taken apart.
type Name struct {
	Unique string // never changes; what stands before sizes and flags
	Size   int64  // octets in the file, S=; -1 if it is not said
	Wire   int64  // octets with CRLF, W=; -1 if it is not said
	Flags  mail.Flags

	// Passed says that the message was forwarded or bounced.
	Passed bool

	// Letters are the keywords, a to z, as a Keywords table names them.
	Letters string

	// Others are flags and fields that are not known here. They stay in the
	// name.
	Others string
}

// The flags, in the order of the alphabet in which they have to stand.
var letters = [...]struct {
	letter byte
	flag   mail.Flags
}{{'D', mail.Draft}, {'F', mail.Flagged}, {'R', mail.Answered}, {'S', mail.Seen}, {'T', mail.Deleted}}

// ParseName takes a name apart. A name without flags is one, too: that of a
// message in new.
func ParseName(name string) Name {
	n := Name{Size: -1, Wire: -1}
	base, info := cutInfo(name)
	n.Unique = base
	if i := strings.IndexByte(base, ','); i >= 0 {
		n.Unique = base[:i]
		for field := range strings.SplitSeq(base[i+1:], ",") {
			switch key, value, _ := strings.Cut(field, "="); {
			case key == "S":
				n.Size = max(n.Size, parseSize(value))
			case key == "W":
				n.Wire = max(n.Wire, parseSize(value))
			default:
				n.Unique += "," + field // of another program: makes it unique as well
			}
		}
	}
	for i := range len(info) {
		n.flag(info[i])
	}
	return n
}

// cutInfo cuts off the flags. Where a colon cannot stand in a name (on file
// systems of Windows) programs write "!" or ";".
func cutInfo(name string) (base, info string) {
	for _, separator := range []string{":2,", "!2,", ";2,"} {
		if i := strings.LastIndex(name, separator); i > 0 {
			return name[:i], name[i+len(separator):]
		}
	}
	if i := strings.LastIndex(name, ":1,"); i > 0 { // "experimental semantics"
		return name[:i], ""
	}
	return name, ""
}

func (n *Name) flag(c byte) {
	switch {
	case c == 'P':
		n.Passed = true
		return
	case c >= 'a' && c <= 'z':
		if strings.IndexByte(n.Letters, c) < 0 {
			n.Letters += string(c)
		}
		return
	}
	for _, l := range letters {
		if l.letter == c {
			n.Flags |= l.flag
			return
		}
	}
	if c > ' ' && c < 0x7f && c != '/' && c != ',' && len(n.Others) < 16 && strings.IndexByte(n.Others, c) < 0 {
		n.Others += string(c)
	}
}

func parseSize(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < 0 {
		return -1
	}
	return v
}

// String gives the name of the file in cur.
func (n Name) String() string {
	var b strings.Builder
	b.WriteString(n.Unique)
	if n.Size >= 0 {
		fmt.Fprintf(&b, ",S=%d", n.Size)
	}
	if n.Wire >= 0 {
		fmt.Fprintf(&b, ",W=%d", n.Wire)
	}
	b.WriteString(":2,")
	info := []byte(n.Others + n.Letters)
	for _, l := range letters {
		if n.Flags.Has(l.flag) {
			info = append(info, l.letter)
		}
	}
	if n.Passed {
		info = append(info, 'P')
	}
	slices.Sort(info)
	b.Write(slices.Compact(info))
	return b.String()
}

// Time gives the seconds that a unique name begins with, which is when the
// message came; 0 if it does not.
func (n Name) Time() int64 {
	digits := n.Unique
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v > 1<<40 {
		return 0
	}
	return v
}

// MaxKeywords is how many keywords a folder can name by letters.
const MaxKeywords = 26

// A Keywords table gives the keywords of the letters a to z in one folder; ""
// where there is none. Dovecot keeps it as dovecot-keywords.
type Keywords [MaxKeywords]mail.Keyword

// ParseKeywords reads dovecot-keywords: a number and a keyword on each line.
func ParseKeywords(file []byte) Keywords {
	var k Keywords
	for line := range bytes.Lines(file) {
		number, word, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < MaxKeywords && word != "" {
			k[i] = mail.Keyword(word)
		}
	}
	return k
}

// Append writes the table as dovecot-keywords.
func (k *Keywords) Append(dst []byte) []byte {
	for i, word := range k {
		if word != "" {
			dst = fmt.Appendf(dst, "%d %s\n", i, word)
		}
	}
	return dst
}

// Words gives the keywords of letters.
func (k *Keywords) Words(letters string) []mail.Keyword {
	var list []mail.Keyword
	for i := range len(letters) {
		if c := letters[i]; c >= 'a' && c <= 'z' && k[c-'a'] != "" {
			list = append(list, k[c-'a'])
		}
	}
	return list
}

// Letter gives the letter of a keyword, which gets one if there is one left.
func (k *Keywords) Letter(word mail.Keyword) (string, bool) {
	for i, had := range k {
		if had == "" {
			k[i] = word
			had = word
		}
		if had.Fold() == word.Fold() {
			return string(rune('a' + i)), true
		}
	}
	return "", false
}

// ParseSubscriptions reads a subscriptions file of Dovecot or Courier: a name on
// each line. Its second version says so in the first line and has tabs between
// levels; in the first, names are as the layout has them, which separator says.
func ParseSubscriptions(file []byte, separator string) [][]string {
	var names [][]string
	version2 := false
	for line := range bytes.Lines(file) {
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case text == "V\t2":
			version2 = true
		case text == "":
		case version2:
			levels := strings.Split(text, "\t")
			for i := range levels {
				levels[i] = tabUnescape.Replace(levels[i])
			}
			names = append(names, levels)
		default:
			names = append(names, strings.Split(text, separator))
		}
	}
	return names
}

// Dovecot's way to put anything on a line with tabs.
var (
	tabUnescape = strings.NewReplacer("\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n", "\x010", "\x00")
	tabEscape   = strings.NewReplacer("\x01", "\x011", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n", "\x00", "\x010")
)

// AppendSubscriptions writes the second version.
func AppendSubscriptions(dst []byte, names [][]string) []byte {
	dst = append(dst, "V\t2\n\n"...)
	for _, levels := range names {
		for i, level := range levels {
			if i > 0 {
				dst = append(dst, '\t')
			}
			dst = append(dst, tabEscape.Replace(level)...)
		}
		dst = append(dst, '\n')
	}
	return dst
}
