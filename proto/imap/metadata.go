package imap

import "strings"

// GetMetadata asks for annotations, of the server when Mailbox is empty.
// RFC 5464 §4.2
type GetMetadata struct {
	Mailbox string
	MaxSize int64 // of a value; negative for no limit
	Depth   Depth
	Entries []string // in lower case
}

// A Depth says how far below an entry others are asked for. RFC 5464 §4.2.2
type Depth uint8

// The depths.
const (
	DepthZero Depth = iota
	DepthOne
	DepthInfinity
)

// SetMetadata sets annotations. RFC 5464 §4.3
type SetMetadata struct {
	Mailbox string
	Entries []MetadataEntry
}

// A MetadataEntry is an annotation, its name in lower case. A nil value is NIL.
type MetadataEntry struct {
	Name  string
	Value []byte
}

func (c GetMetadata) Name() string { return "GETMETADATA" }
func (c SetMetadata) Name() string { return "SETMETADATA" }

// maxEntries bounds the entries of one command; maxEntryName their names.
const (
	maxEntries   = 200
	maxEntryName = 512
)

// parseGetMetadata reads the options before the mailbox, where the grammar
// has them, or behind it, where the examples of RFC 5464 §4.2.1 do.
func parseGetMetadata(s *scanner) Command {
	c := GetMetadata{MaxSize: -1}
	s.sp()
	if s.peek() == '(' {
		s.metadataOptions(&c)
		s.sp()
	}
	c.Mailbox = s.astring()
	s.sp()
	if s.peek() == '(' && s.isMetadataOptions() {
		s.metadataOptions(&c)
		s.sp()
	}
	c.Entries = s.metadataNames()
	return c
}

// isMetadataOptions tells options from a list of entries, which all begin
// with a slash.
func (s *scanner) isMetadataOptions() bool {
	for i := s.i + 1; i < len(s.b); i++ {
		switch s.b[i] {
		case ' ':
		case '/', '"', '{':
			return false
		default:
			return true
		}
	}
	return false
}

func (s *scanner) metadataOptions(c *GetMetadata) {
	s.list(false, func() {
		switch s.word() {
		case "MAXSIZE":
			s.sp()
			c.MaxSize = int64(s.number())
		case "DEPTH":
			s.sp()
			switch s.word() {
			case "0":
				c.Depth = DepthZero
			case "1":
				c.Depth = DepthOne
			case "INFINITY":
				c.Depth = DepthInfinity
			default:
				s.fail("unknown depth")
			}
		default:
			s.fail("unknown GETMETADATA option")
		}
	})
}

// metadataNames reads an entry or a list of them.
func (s *scanner) metadataNames() []string {
	if s.peek() != '(' {
		return []string{s.metadataName()}
	}
	var names []string
	s.list(false, func() {
		if len(names) >= maxEntries {
			s.fail("too many entries")
			return
		}
		names = append(names, s.metadataName())
	})
	return names
}

// metadataName reads the name of an entry. RFC 5464 §3.2
func (s *scanner) metadataName() string {
	name := s.astring()
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7f || c == '*' || c == '%' {
			s.fail("bad character in the name of an entry")
			return ""
		}
	}
	name = strings.ToLower(name)
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	switch {
	case s.failed():
	case len(name) > maxEntryName:
		s.fail("name of an entry is too long")
	case !strings.HasPrefix(name, "/") || first != "private" && first != "shared":
		s.fail("name of an entry begins with neither /private nor /shared")
	case strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		s.fail("name of an entry has an empty component")
	}
	return name
}

// isEntry tells whether an annotation can have a name: it has two components,
// a vendor's four. RFC 5464 §3.2
func isEntry(name string) bool {
	parts := strings.Count(name, "/")
	if strings.HasPrefix(name, "/private/vendor") || strings.HasPrefix(name, "/shared/vendor") {
		return parts >= 4
	}
	return parts >= 2
}

func parseSetMetadata(s *scanner) Command {
	c := SetMetadata{Mailbox: s.argument()}
	s.sp()
	s.list(false, func() {
		if len(c.Entries) >= maxEntries {
			s.fail("too many entries")
			return
		}
		e := MetadataEntry{Name: s.metadataName()}
		if !s.failed() && !isEntry(e.Name) {
			s.fail("name of an entry has too few components")
		}
		s.sp()
		e.Value = s.metadataValue()
		c.Entries = append(c.Entries, e)
	})
	return c
}

// metadataValue reads an nstring or a literal8, nil for NIL.
func (s *scanner) metadataValue() []byte {
	switch s.peek() {
	case '~':
		s.i++
		s.expect('{')
		n := s.number64()
		s.accept('+')
		s.expect('}')
		s.accept('\r')
		s.expect('\n')
		if s.err == nil && n > int64(len(s.b)-s.i) {
			s.fail("literal is cut short")
		}
		if s.err != nil {
			return nil
		}
		v := s.b[s.i : s.i+int(n)]
		s.i += int(n)
		return append([]byte{}, v...)
	case '"', '{':
		return append([]byte{}, s.str()...)
	}
	if s.word() != "NIL" {
		s.fail("expected a value or NIL")
	}
	return nil
}
