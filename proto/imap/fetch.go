package imap

import (
	"strconv"
	"strings"
)

// A FetchKind says what a FetchItem asks for.
type FetchKind uint8

// What FETCH can ask for. RFC 9051 §6.4.5, RFC 3501 §6.4.5
const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchEnvelope
	FetchBodyStructure
	FetchStructure  // BODY without a section: BODYSTRUCTURE without extension data
	FetchBody       // BODY[...]
	FetchBinary     // BINARY[...]
	FetchBinarySize // BINARY.SIZE[...]
	FetchRFC822     // the same as BODY[], under its old name
	FetchRFC822Header
	FetchRFC822Text
	FetchModSeq   // RFC 7162 §3.1.4.2
	FetchEmailID  // RFC 8474 §5.3
	FetchThreadID // the same
	FetchSaveDate // RFC 8514 §4.2
	FetchPreview  // RFC 8970 §3
	FetchSnippet  // the same as Dovecot has called it: SNIPPET, with its algorithm
)

// A FetchItem is one thing that FETCH asks for.
type FetchItem struct {
	Kind    FetchKind
	Peek    bool // does not set \Seen
	Section Section
	Partial Partial
}

// A Partial is <From.Count>; a Count of zero means that there was none.
type Partial struct{ From, Count int64 }

// A SectionText is the last word of a section.
type SectionText uint8

// What a section can end in; SectionAll is the part, or message, itself.
const (
	SectionAll SectionText = iota
	SectionHeader
	SectionFields    // HEADER.FIELDS
	SectionFieldsNot // HEADER.FIELDS.NOT
	SectionBody      // TEXT
	SectionMIME
)

// A Section is what stands between the brackets. RFC 9051 §6.4.5.1
type Section struct {
	Part   []int
	Text   SectionText
	Fields []string // as they were written, for HEADER.FIELDS and its NOT
}

// Limits of FETCH.
const (
	maxFetchItems    = 200
	maxSectionDepth  = 100
	maxSectionFields = 200
)

func parseFetch(s *scanner, uid bool) Command {
	c := Fetch{UID: uid}
	s.sp()
	c.Set = s.set()
	s.sp()
	if s.peek() == '(' {
		s.list(false, func() { s.fetchItem(&c.Items) })
	} else {
		s.fetchItem(&c.Items)
	}
	s.fetchModifiers(&c)
	return c
}

// ParseFetchItems reads what stands behind the set in a FETCH.
func ParseFetchItems(text string) ([]FetchItem, error) {
	s := scanner{b: []byte("1 " + text)}
	s.i = 1
	s.sp()
	var items []FetchItem
	if s.peek() == '(' {
		s.list(false, func() { s.fetchItem(&items) })
	} else {
		s.fetchItem(&items)
	}
	s.end()
	return items, s.err
}

// The macros. RFC 9051 §6.4.5
var (
	macroFast = []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchSize}}
	macroAll  = append(macroFast[:3:3], FetchItem{Kind: FetchEnvelope})
	macroFull = append(macroAll[:4:4], FetchItem{Kind: FetchStructure})
)

// fetchName takes the letters of an item's name, which "[" ends.
func (s *scanner) fetchName() string {
	if s.err != nil {
		return ""
	}
	from := s.i
	for s.i < len(s.b) && classes[s.b[s.i]]&atomChar != 0 && s.b[s.i] != '[' && s.b[s.i] != '<' {
		s.i++
	}
	return upper(s.b[from:s.i])
}

func (s *scanner) fetchItem(items *[]FetchItem) {
	if len(*items) >= maxFetchItems {
		s.fail("too many FETCH items")
		return
	}
	item := FetchItem{}
	switch name := s.fetchName(); name {
	// QUIRK: the macros may not stand in a list (RFC 9051 §9), but some
	// clients put them there.
	case "ALL":
		*items = append(*items, macroAll...)
		return
	case "FAST":
		*items = append(*items, macroFast...)
		return
	case "FULL":
		*items = append(*items, macroFull...)
		return
	case "FLAGS":
		item.Kind = FetchFlags
	case "UID":
		item.Kind = FetchUID
	case "INTERNALDATE":
		item.Kind = FetchInternalDate
	case "ENVELOPE":
		item.Kind = FetchEnvelope
	case "BODYSTRUCTURE":
		item.Kind = FetchBodyStructure
	case "RFC822":
		item.Kind = FetchRFC822
	case "RFC822.SIZE":
		item.Kind = FetchSize
	case "RFC822.HEADER":
		item.Kind, item.Peek = FetchRFC822Header, true
	case "RFC822.TEXT":
		item.Kind = FetchRFC822Text
	case "MODSEQ":
		item.Kind = FetchModSeq
	case "EMAILID":
		item.Kind = FetchEmailID
	case "THREADID":
		item.Kind = FetchThreadID
	case "SAVEDATE":
		item.Kind = FetchSaveDate
	case "PREVIEW", "SNIPPET":
		item.Kind = FetchPreview
		if name == "SNIPPET" {
			item.Kind = FetchSnippet
		}
		s.previewModifiers()
	case "BODY", "BODY.PEEK":
		item.Kind, item.Peek = FetchBody, name == "BODY.PEEK"
		if s.peek() != '[' {
			item.Kind = FetchStructure
			if item.Peek {
				s.fail("BODY.PEEK needs a section")
			}
			break
		}
		item.Section = s.section(true)
		item.Partial = s.partial()
	case "BINARY", "BINARY.PEEK":
		item.Kind, item.Peek = FetchBinary, name == "BINARY.PEEK"
		item.Section = s.section(false)
		item.Partial = s.partial()
	case "BINARY.SIZE":
		item.Kind, item.Peek = FetchBinarySize, true
		item.Section = s.section(false)
	default:
		s.fail("unknown FETCH item")
	}
	*items = append(*items, item)
}

// section takes a section with its brackets; text permits more than a part.
func (s *scanner) section(text bool) Section {
	var sec Section
	s.expect('[')
	for s.err == nil && '0' <= s.peek() && s.peek() <= '9' {
		n := s.nzNumber()
		if n > 1<<31-1 || len(sec.Part) >= maxSectionDepth {
			s.fail("bad section")
			return sec
		}
		sec.Part = append(sec.Part, int(n))
		if !s.accept('.') {
			s.expect(']')
			return sec
		}
		if c := s.peek(); c == ']' || c == 0 {
			s.fail("bad section")
		}
	}
	if len(sec.Part) == 0 && s.accept(']') {
		return sec
	}
	if !text {
		s.fail("bad section")
		return sec
	}
	from := s.i
	for s.i < len(s.b) && s.b[s.i] != ']' && s.b[s.i] != ' ' {
		s.i++
	}
	switch upper(s.b[from:s.i]) {
	case "HEADER":
		sec.Text = SectionHeader
	case "HEADER.FIELDS":
		sec.Text = SectionFields
	case "HEADER.FIELDS.NOT":
		sec.Text = SectionFieldsNot
	case "TEXT":
		sec.Text = SectionBody
	case "MIME":
		sec.Text = SectionMIME
		if len(sec.Part) == 0 {
			s.fail("MIME needs a part") // RFC 9051 §6.4.5.1
		}
	default:
		s.fail("bad section")
	}
	if sec.Text == SectionFields || sec.Text == SectionFieldsNot {
		s.sp()
		s.list(false, func() { s.sectionField(&sec) })
		s.spaces()
	}
	s.expect(']')
	return sec
}

func (s *scanner) sectionField(sec *Section) {
	f := s.astring()
	if len(sec.Fields) >= maxSectionFields {
		s.fail("too many header fields")
	} else if s.err == nil && !isFieldName(f) {
		s.fail("bad header field name")
	}
	sec.Fields = append(sec.Fields, f)
}

// isFieldName holds for field-name of RFC 5322 §3.6.8.
func isFieldName(f string) bool {
	for i := 0; i < len(f); i++ {
		if f[i] <= ' ' || f[i] >= 0x7f || f[i] == ':' {
			return false
		}
	}
	return f != ""
}

// partial takes <from.count> if it is there.
func (s *scanner) partial() Partial {
	var p Partial
	if !s.accept('<') {
		return p
	}
	p.From = s.number64()
	s.expect('.')
	p.Count = s.number64()
	if s.err == nil && p.Count == 0 {
		s.fail("bad partial")
	}
	s.expect('>')
	return p
}

// AppendLabel writes the name under which the answer to an item is given,
// such as "BODY[1.HEADER.FIELDS (Subject)]<0>". RFC 9051 §7.5.2
func (f FetchItem) AppendLabel(dst []byte) []byte {
	dst = append(dst, fetchLabels[f.Kind]...)
	switch f.Kind {
	case FetchBody, FetchBinary, FetchBinarySize:
	default:
		return dst
	}
	dst = f.Section.append(dst)
	if f.Partial.Count > 0 {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, f.Partial.From, 10)
		dst = append(dst, '>')
	}
	return dst
}

var fetchLabels = [...]string{
	FetchFlags: "FLAGS", FetchUID: "UID", FetchInternalDate: "INTERNALDATE", FetchSize: "RFC822.SIZE",
	FetchEnvelope: "ENVELOPE", FetchBodyStructure: "BODYSTRUCTURE", FetchStructure: "BODY",
	FetchBody: "BODY", FetchBinary: "BINARY", FetchBinarySize: "BINARY.SIZE",
	FetchRFC822: "RFC822", FetchRFC822Header: "RFC822.HEADER", FetchRFC822Text: "RFC822.TEXT",
	FetchModSeq: "MODSEQ", FetchEmailID: "EMAILID", FetchThreadID: "THREADID", FetchSaveDate: "SAVEDATE",
	FetchPreview: "PREVIEW", FetchSnippet: "SNIPPET",
}

var sectionWords = [...]string{
	SectionHeader: "HEADER", SectionFields: "HEADER.FIELDS", SectionFieldsNot: "HEADER.FIELDS.NOT",
	SectionBody: "TEXT", SectionMIME: "MIME",
}

func (sec Section) append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, n := range sec.Part {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = appendDecimal(dst, n)
	}
	if sec.Text == SectionAll {
		return append(dst, ']')
	}
	if len(sec.Part) > 0 {
		dst = append(dst, '.')
	}
	dst = append(dst, sectionWords[sec.Text]...)
	if sec.Text == SectionFields || sec.Text == SectionFieldsNot {
		dst = append(dst, " ("...)
		for i, f := range sec.Fields {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = AppendAString(dst, f, false)
		}
		dst = append(dst, ')')
	}
	return append(dst, ']')
}

// String gives the item as a client writes it.
func (f FetchItem) String() string {
	var b strings.Builder
	label := f
	label.Partial = Partial{}
	text := string(label.AppendLabel(nil))
	if f.Peek && (f.Kind == FetchBody || f.Kind == FetchBinary) {
		name, section, _ := strings.Cut(text, "[")
		text = name + ".PEEK[" + section
	}
	b.WriteString(text)
	if f.Partial.Count > 0 {
		b.WriteString("<" + strconv.FormatInt(f.Partial.From, 10) + "." + strconv.FormatInt(f.Partial.Count, 10) + ">")
	}
	return b.String()
}
