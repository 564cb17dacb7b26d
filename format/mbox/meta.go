package mbox

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"waxwing/format/message"
	"waxwing/mail"
)

// Meta is what fields that programs have added say of a message.
type Meta struct {
	Flags    mail.Flags
	Keywords []mail.Keyword

	// Labels are those of Google Takeout: mailboxes and states.
	Labels []string

	// Skip says that it is no message of the owner's: deleted but not yet
	// taken out of the file (Thunderbird), or a note of the mail program's own
	// (UW-IMAP, Dovecot).
	Skip bool

	// Entry is what the Writer's caller gave with the message.
	Entry string

	marked bool  // our Writer wrote it
	length int64 // Content-Length, -1 if there is none
	raw    bool
	noEnd  bool
}

// markField is the field that a Writer puts first.
const markField = "X-Waxwing-Mbox"

// added are the fields that mail programs add to messages in a file. The rest
// of those of Takeout is in its way, too.
var added = []string{
	"Status", "X-Status", "X-Keywords", "X-UID", "X-IMAP", "X-IMAPbase",
	"X-Mozilla-Status", "X-Mozilla-Status2", "X-Mozilla-Keys", "X-Gmail-Labels", "X-GM-THRID",
}

// take reads what was added to a header, which is without its last empty line,
// and gives the header without it.
func (m *Meta) take(header []byte, format Format) []byte {
	m.length = -1
	if n := m.mark(header); n > 0 {
		return unquoteHeader(header[n:])
	}
	clean := make([]byte, 0, len(header))
	end := 0
	for f := range message.Fields(header) {
		end = f.End
		switch {
		case len(f.Name) == 0:
		case slices.ContainsFunc(added, f.Is):
			m.note(f)
			continue
		case f.Is("Content-Length"):
			if n, err := strconv.ParseInt(strings.TrimSpace(f.Text()), 10, 64); err == nil && n >= 0 {
				m.length = n
			}
			if format == CL || format == CL2 {
				continue
			}
		}
		clean = append(clean, header[f.Start:f.End]...)
	}
	return append(clean, header[end:]...)
}

// mark reads our own field and the lines that belong to it, and gives how long
// that is; zero without it, or if another program has changed what it counts.
func (m *Meta) mark(header []byte) int {
	line, rest, _ := bytes.Cut(header, []byte("\n"))
	value, ok := bytes.CutPrefix(line, []byte(markField+":"))
	if !ok {
		return 0
	}
	meta, count := Meta{length: -1, marked: true}, 0
	for word := range strings.SplitSeq(string(value), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		switch name {
		case "fields":
			count, _ = strconv.Atoi(value)
		case "entry":
			meta.Entry = value
		case "raw":
			meta.raw = true
		case "open":
			meta.noEnd = true
		}
	}
	for range count {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return 0
		}
		known := false
		for f := range message.Fields(line) {
			known = slices.ContainsFunc(added, f.Is)
			meta.note(f)
		}
		if !known {
			return 0
		}
	}
	*m = meta
	return len(header) - len(rest)
}

// unquoteHeader takes off what our Writer has put before lines of a header. Others
// leave headers alone, and ">From" is met in old ones.
func unquoteHeader(header []byte) []byte {
	if !bytes.HasPrefix(header, []byte(">")) && !bytes.Contains(header, []byte("\n>")) {
		return header
	}
	clean := make([]byte, 0, len(header))
	for line := range bytes.Lines(header) {
		if line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromPrefix) {
			line = line[1:]
		}
		clean = append(clean, line...)
	}
	return clean
}

// note reads one field.
func (m *Meta) note(f message.Field) {
	value := strings.TrimSpace(f.Text())
	switch {
	case f.Is("Status"):
		m.letters(value, map[byte]mail.Flags{'R': mail.Seen})
	case f.Is("X-Status"):
		m.letters(value, map[byte]mail.Flags{'A': mail.Answered, 'F': mail.Flagged, 'T': mail.Draft, 'D': mail.Deleted})
	case f.Is("X-Keywords"), f.Is("X-Mozilla-Keys"):
		for k := range strings.FieldsSeq(value) {
			m.keyword(k)
		}
	case f.Is("X-IMAP"):
		m.Skip = true // "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
	case f.Is("X-Mozilla-Status"):
		m.mozilla(value)
	case f.Is("X-Mozilla-Status2"):
		// nsMsgMessageFlags: 0x0E000000 is the old label, 1 to 5.
		if v, err := strconv.ParseUint(value, 16, 32); err == nil && v>>25&7 >= 1 && v>>25&7 <= 5 {
			m.keyword("$Label" + strconv.FormatUint(v>>25&7, 10))
		}
	case f.Is("X-Gmail-Labels"):
		m.labels(message.DecodeHeader(f.Text()))
	}
}

func (m *Meta) letters(value string, flags map[byte]mail.Flags) {
	for i := range len(value) {
		m.Flags |= flags[value[i]]
	}
}

// mozilla reads nsMsgMessageFlags.
func (m *Meta) mozilla(value string) {
	v, err := strconv.ParseUint(value, 16, 32)
	if err != nil {
		return
	}
	for bit, flag := range map[uint64]mail.Flags{1: mail.Seen, 2: mail.Answered, 4: mail.Flagged} {
		if v&bit != 0 {
			m.Flags |= flag
		}
	}
	if v&8 != 0 {
		m.Skip = true // expunged; the file is not compacted yet
	}
	if v&0x1000 != 0 {
		m.keyword("$Forwarded")
	}
}

// labels reads what Google Takeout lists: names with commas between, those
// with a comma in quotes.
func (m *Meta) labels(value string) {
	var label strings.Builder
	quoted := false
	add := func() {
		if s := strings.TrimSpace(label.String()); s != "" && len(m.Labels) < maxKeywords {
			m.Labels = append(m.Labels, s)
		}
		label.Reset()
	}
	for _, r := range value {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			add()
		default:
			label.WriteRune(r)
		}
	}
	add()
	unread := false
	for _, l := range m.Labels {
		switch strings.ToLower(l) {
		case "unread":
			unread = true
		case "starred":
			m.Flags |= mail.Flagged
		case "drafts", "draft":
			m.Flags |= mail.Draft
		}
	}
	if !unread {
		m.Flags |= mail.Seen
	}
}

const maxKeywords = 64

func (m *Meta) keyword(k string) {
	if len(m.Keywords) < maxKeywords && !slices.ContainsFunc(m.Keywords, func(had mail.Keyword) bool { return had.Fold() == mail.Keyword(k).Fold() }) {
		m.Keywords = append(m.Keywords, mail.Keyword(k))
	}
}

// append writes flags and keywords as fields, our own before them.
func (m *Meta) append(dst []byte) []byte {
	var fields []byte
	n := 0
	add := func(name, value string) {
		if value != "" {
			n++
			fields = fmt.Appendf(fields, "%s: %s\n", name, value)
		}
	}
	// O: not recent; every message of a server is old to the next program.
	add("Status", when(m.Flags, mail.Seen, "R")+"O")
	add("X-Status", when(m.Flags, mail.Answered, "A")+when(m.Flags, mail.Flagged, "F")+when(m.Flags, mail.Draft, "T")+when(m.Flags, mail.Deleted, "D"))
	words := make([]string, len(m.Keywords))
	for i, k := range m.Keywords {
		words[i] = string(k)
	}
	add("X-Keywords", strings.Join(words, " "))
	dst = fmt.Appendf(dst, "%s: fields=%d", markField, n)
	if m.Entry != "" {
		dst = fmt.Appendf(dst, "; entry=%s", m.Entry)
	}
	dst = append(dst, word(m.raw, "; raw")...)
	dst = append(dst, word(m.noEnd, "; open")...)
	return append(append(dst, '\n'), fields...)
}

func when(flags, flag mail.Flags, letter string) string { return word(flags.Has(flag), letter) }

func word(say bool, text string) string {
	if say {
		return text
	}
	return ""
}
